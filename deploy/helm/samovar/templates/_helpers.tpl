{{/* What names begin with. */}}
{{- define "samovar.name" -}}
{{- if contains "samovar" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-samovar" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of everything. */}}
{{- define "samovar.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/name: samovar
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* What a role's pods are found by: (list $ "host"). */}}
{{- define "samovar.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: samovar
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "samovar.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "samovar.clusterSecret" -}}
{{ .Values.clusterSecret.existing | default (printf "%s-cluster" (include "samovar.name" .)) }}
{{- end -}}

{{- define "samovar.tokenSecret" -}}
{{ .Values.control.token.existing | default (printf "%s-token" (include "samovar.name" .)) }}
{{- end -}}

{{/* What every pod has. */}}
{{- define "samovar.pod" -}}
serviceAccountName: {{ include "samovar.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{/* Where pods go: (list $ "host" .Values.hosts). */}}
{{- define "samovar.place" -}}
{{- $role := index . 2 -}}
{{- with $role.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $role.topologySpread }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "samovar.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "samovar.container" -}}
image: {{ include "samovar.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end -}}

{{/* What every member is told. */}}
{{- define "samovar.environment" -}}
- name: SAMOVAR_JOIN
  value: {{ join "," .Values.nats.urls | quote }}
- name: SAMOVAR_NAMESPACE
  value: {{ .Values.nats.namespace | quote }}
- name: SAMOVAR_REPLICAS
  value: {{ .Values.nats.replicas | quote }}
- name: SAMOVAR_LOG
  value: {{ .Values.log.filter | quote }}
- name: SAMOVAR_DATA_DIR
  value: /var/lib/samovar
- name: SAMOVAR_CLUSTER_SECRET_FILE
  value: /etc/samovar/cluster/secret
{{- if .Values.nats.credentials.secret }}
- name: SAMOVAR_NATS_CREDENTIALS
  value: /etc/samovar/nats/{{ .Values.nats.credentials.key }}
{{- end }}
{{- if .Values.nats.tls.secret }}
- name: SAMOVAR_NATS_CA
  value: /etc/samovar/nats-tls/ca.crt
{{- if .Values.nats.tls.clientCertificate }}
- name: SAMOVAR_NATS_CERT
  value: /etc/samovar/nats-tls/tls.crt
- name: SAMOVAR_NATS_KEY
  value: /etc/samovar/nats-tls/tls.key
{{- end }}
{{- end }}
{{- if .Values.memberTls.secret }}
- name: SAMOVAR_CLUSTER_CA
  value: /etc/samovar/tls/ca.crt
- name: SAMOVAR_CLUSTER_CERT
  value: /etc/samovar/tls/tls.crt
- name: SAMOVAR_CLUSTER_KEY
  value: /etc/samovar/tls/tls.key
{{- end }}
{{- end -}}

{{- define "samovar.mounts" -}}
- name: data
  mountPath: /var/lib/samovar
- name: cluster
  mountPath: /etc/samovar/cluster
  readOnly: true
{{- if .Values.nats.credentials.secret }}
- name: nats
  mountPath: /etc/samovar/nats
  readOnly: true
{{- end }}
{{- if .Values.nats.tls.secret }}
- name: nats-tls
  mountPath: /etc/samovar/nats-tls
  readOnly: true
{{- end }}
{{- if .Values.memberTls.secret }}
- name: tls
  mountPath: /etc/samovar/tls
  readOnly: true
{{- end }}
{{- end -}}

{{- define "samovar.volumes" -}}
- name: cluster
  secret:
    secretName: {{ include "samovar.clusterSecret" . }}
    defaultMode: 0440
    items: [{ key: secret, path: secret }]
{{- with .Values.nats.credentials.secret }}
- name: nats
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- with .Values.nats.tls.secret }}
- name: nats-tls
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- with .Values.memberTls.secret }}
- name: tls
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- end -}}
