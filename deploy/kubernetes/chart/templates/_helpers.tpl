{{- define "log-ingestd.fullname" -}}
{{- if contains "log-ingestd" .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-log-ingestd" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "log-ingestd.secret" -}}
{{- .Values.database.existingSecret | default (include "log-ingestd.fullname" .) -}}
{{- end -}}

{{- define "log-ingestd.labels" -}}
app: {{ include "log-ingestd.fullname" . }}
app.kubernetes.io/name: log-ingestd
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
