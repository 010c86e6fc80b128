{{- define "postrider.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}
{{- end }}

{{/* What selects pods: never changes in the life of a Deployment. Takes {root, component}. */}}
{{- define "postrider.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "postrider.labels" -}}
{{ include "postrider.selector" . }}
app.kubernetes.io/part-of: postrider
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Of pods: nothing that a new version of the chart changes, which would start them again for nothing. */}}
{{- define "postrider.podLabels" -}}
{{ include "postrider.selector" . }}
app.kubernetes.io/part-of: postrider
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Takes {root, image}. */}}
{{- define "postrider.image" -}}
{{- $name := printf "%s/%s" .image.registry .image.repository -}}
{{- if .image.digest }}{{ $name }}@{{ .image.digest }}{{ else }}{{ $name }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end }}
{{- end }}

{{- define "postrider.serverAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "postrider.fullname" . }}-server
{{- else }}default{{ end }}
{{- end }}

{{- define "postrider.operatorAccount" -}}
{{- if .Values.serviceAccount.operatorName }}{{ .Values.serviceAccount.operatorName }}
{{- else if .Values.serviceAccount.create }}{{ include "postrider.fullname" . }}-operator
{{- else }}default{{ end }}
{{- end }}

{{- define "postrider.keyringSecret" -}}
{{ default (printf "%s-keyring" (include "postrider.fullname" .)) .Values.keyring.existingSecret }}
{{- end }}

{{- define "postrider.isBundled" -}}
{{- if not (or .Values.database.existingSecret .Values.database.cloudNativePG) }}true{{ end }}
{{- end }}

{{- define "postrider.databaseSecret" -}}
{{- if .Values.database.existingSecret }}{{ .Values.database.existingSecret }}
{{- else if .Values.database.cloudNativePG }}{{ .Values.database.cloudNativePG }}-app
{{- else }}{{ include "postrider.fullname" . }}-database{{ end }}
{{- end }}

{{- define "postrider.databaseSecretKey" -}}
{{- if .Values.database.existingSecret }}{{ .Values.database.existingSecretKey }}{{ else }}uri{{ end }}
{{- end }}

{{/* The URL as a file: it changes in running pods when the Secret does. */}}
{{- define "postrider.databaseVolume" -}}
name: database
secret:
  secretName: {{ include "postrider.databaseSecret" . }}
  defaultMode: 0440
  items:
    - { key: {{ include "postrider.databaseSecretKey" . }}, path: uri }
{{- end }}

{{/* PodSecurity "restricted". */}}
{{- define "postrider.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "postrider.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Values of a role: those of `server`, and over them its own. Takes {root, role}; prints JSON. */}}
{{- define "postrider.roleValues" -}}
{{- mustMergeOverwrite (deepCopy .root.Values.server) (deepCopy (index .root.Values .role)) | toJson }}
{{- end }}

{{/* The server roles that are on, as a JSON list. */}}
{{- define "postrider.roles" -}}
{{- $roles := list -}}
{{- range $role := list "mx" "submission" "imap" "outbound" -}}
{{- $values := include "postrider.roleValues" (dict "root" $ "role" $role) | fromJson -}}
{{- if $values.enabled }}{{ $roles = append $roles $role }}{{ end -}}
{{- end -}}
{{- $roles | toJson }}
{{- end }}

{{/* Ports of a role in its containers: above 1023, so that no right is needed. Takes {root, role}. */}}
{{- define "postrider.ports" -}}
{{- $acme := ternary ", acme: 2080" "" .root.Values.acme.enabled }}
{{- if eq .role "mx" }}{smtp: 2525{{ $acme }}}
{{- else if eq .role "submission" }}{submission: 2587, submissions: 2465{{ $acme }}}
{{- else if eq .role "imap" }}{imap: 2143, imaps: 2993{{ $acme }}}
{{- else }}{}{{ end }}
{{- end }}

{{- define "postrider.topologySpread" -}}
{{- $selector := include "postrider.selector" (dict "root" .root "component" .component) | fromYaml -}}
{{- range .constraints }}
- {{ merge (dict "labelSelector" (dict "matchLabels" $selector)) . | toYaml | nindent 2 | trim }}
{{- end }}
{{- end }}
