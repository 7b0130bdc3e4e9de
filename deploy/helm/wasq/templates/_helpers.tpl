{{/* The name of all that the release has. */}}
{{- define "wasq.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* By what the pods are found. It never changes. */}}
{{- define "wasq.selector" -}}
app.kubernetes.io/name: wasq
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wasq.labels" -}}
{{ include "wasq.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "wasq.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "wasq.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "wasq.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end }}
