{{- define "postrider.mailServer" -}}
{{- with .Values.mailServer -}}
apiVersion: postrider.dev/v1alpha1
kind: MailServer
metadata:
  name: {{ .name }}
  namespace: {{ $.Release.Namespace }}
  labels: {{ include "postrider.labels" (dict "root" $) | nindent 4 }}
spec:
  hostname: {{ $.Values.hostname }}
  domains: {{ append .domains $.Values.test.domain | uniq | toJson }}
  allowedNamespaces:
    from: {{ .allowedNamespaces.from }}
    {{- with .allowedNamespaces.selector }}
    selector: {{ toJson . }}
    {{- end }}
  adoptFrom: {{ .adoptFrom }}
  {{- with .publicAddresses }}
  publicAddresses: {{ toJson . }}
  {{- end }}
  {{- if and (eq .tls.mode "ACME") (not .acme) }}{{ fail "mailServer.tls.mode is ACME, but mailServer.acme says nothing of an authority; {termsOfServiceAgreed: true} is Let's Encrypt" }}{{ end }}
  {{- with .acme }}
  acme: {{ toJson . }}
  {{- end }}
  tls:
    mode: {{ .tls.mode }}
    {{- with .tls.secretName }}
    secretRef: { name: {{ . }} }
    {{- end }}
    {{- with .tls.issuerRef }}
    issuerRef: {{ toJson . }}
    {{- end }}
{{- end }}
{{- end }}
