{{/* Settings of a role that the chart decides. Takes {root, role, values}. */}}
{{- define "postrider.serverSettings" -}}
{{- $all := dict
  "ROLES" (ternary "outbound,janitor" .role (eq .role "outbound"))
  "MAIL_HOSTNAME" .root.Values.hostname
  "MIGRATIONS" "await"
  "DATABASE_URL_FILE" "/etc/postrider/database/uri"
  "DATABASE_POOL_SIZE" (.values.databasePoolSize | toString)
  "KEYRING_FILE" "/etc/postrider/keyring/keyring"
  "DATA_DIR" "/var/lib/postrider"
  "HTTP_PORT" "8080"
  "SMTP_RECEIVE_PORT" "2525"
  "SUBMISSION_PORT" "2587"
  "SMTP_RECEIVE_SSL_PORT" "2465"
  "IMAP_PORT" "2143"
  "IMAP_SSL_PORT" "2993"
  "DRAIN_DELAY" (printf "%ds" (int .values.drainDelaySeconds))
  "GRACE_PERIOD" (printf "%ds" (int .values.graceSeconds))
  "LOG_FORMAT" "json" -}}
{{- if and .root.Values.acme.enabled (ne .role "outbound") }}
{{- $_ := set $all "ACME_HTTP_PORT" "2080" }}
{{- end }}
{{- with .root.Values.proxyProtocol }}
{{- if .networks }}
{{- $_ := set $all "PROXY_PROTOCOL_NETWORKS" (join "," .networks) }}
{{- $_ := set $all "PROXY_PROTOCOL_LISTENERS" (join "," .listeners) }}
{{- end }}
{{- end }}
{{- $given := mustMergeOverwrite (deepCopy .root.Values.config) (deepCopy .values.config) -}}
{{- range $name, $value := $given }}
{{- if hasKey $all $name }}{{ fail (printf "config.%s is set by the chart; see its other values" $name) }}{{ end }}
{{- $_ := set $all $name ($value | toString) }}
{{- end }}
{{- range $name, $value := $all }}
POSTRIDER_{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* A Deployment of one role. Takes {root, role, values}. */}}
{{- define "postrider.serverDeployment" -}}
{{- $root := .root -}}{{- $role := .role -}}{{- $values := .values -}}
{{- $labels := dict "root" $root "component" $role -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "postrider.fullname" $root }}-{{ $role }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{ include "postrider.labels" $labels | nindent 4 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: {{ $values.revisionHistoryLimit }}
  minReadySeconds: {{ $values.minReadySeconds }}
  strategy: {{ toYaml $values.strategy | nindent 4 }}
  selector:
    matchLabels: {{ include "postrider.selector" $labels | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "postrider.podLabels" $labels | nindent 8 }}
        postrider.dev/metrics: 'true'
        {{- with $values.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      annotations:
        checksum/config: {{ include "postrider.serverSettings" . | sha256sum }}
        {{- with $values.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      serviceAccountName: {{ include "postrider.serverAccount" $root }}
      # Servers know the database and nothing of the cluster.
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {{ include "postrider.podSecurity" . | nindent 8 }}
      # DRAIN_DELAY and GRACE_PERIOD are within it; no preStop hook is needed, since the server takes connections
      # until load balancers have noticed.
      terminationGracePeriodSeconds: {{ add $values.graceSeconds 10 }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- include "postrider.topologySpread" (dict "root" $root "component" $role "constraints" .) | nindent 8 }}
      {{- end }}
      containers:
        - name: server
          image: {{ include "postrider.image" (dict "root" $root "image" $root.Values.image) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          securityContext: {{ include "postrider.containerSecurity" . | nindent 12 }}
          envFrom:
            - configMapRef: { name: {{ include "postrider.fullname" $root }}-{{ $role }} }
            {{- with $values.extraEnvFrom }}{{ toYaml . | nindent 12 }}{{ end }}
          {{- with $values.extraEnv }}
          env: {{ toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - { name: http, containerPort: 8080 }
            {{- range $name, $port := include "postrider.ports" (dict "root" $root "role" $role) | fromYaml }}
            - { name: {{ $name }}, containerPort: {{ $port }} }
            {{- end }}
          startupProbe:
            httpGet: { path: /healthz, port: http }
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet: { path: /healthz, port: http }
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: { path: /readyz, port: http }
            periodSeconds: 3
            timeoutSeconds: 3
          resources: {{ toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - { name: database, mountPath: /etc/postrider/database, readOnly: true }
            - { name: keyring, mountPath: /etc/postrider/keyring, readOnly: true }
            - { name: data, mountPath: /var/lib/postrider }
            - { name: tmp, mountPath: /tmp }
            {{- with $values.extraVolumeMounts }}{{ toYaml . | nindent 12 }}{{ end }}
        {{- with $values.extraContainers }}{{ toYaml . | nindent 8 }}{{ end }}
      volumes:
        - {{ include "postrider.databaseVolume" $root | nindent 10 | trim }}
        # Pods wait here until the operator has made it.
        - name: keyring
          secret: { secretName: {{ include "postrider.keyringSecret" $root }}, defaultMode: 0440 }
        - name: data
          emptyDir: { sizeLimit: {{ $values.spoolSize }} }
        - name: tmp
          emptyDir: { sizeLimit: 64Mi }
        {{- with $values.extraVolumes }}{{ toYaml . | nindent 8 }}{{ end }}
{{- end }}
