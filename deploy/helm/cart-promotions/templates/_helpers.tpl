{{- define "cart-promotions.fullname" -}}
{{- if contains "cart-promotions" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-cart-promotions" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "cart-promotions.selector" -}}
app.kubernetes.io/name: cart-promotions
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cart-promotions.labels" -}}
{{ include "cart-promotions.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The number of servers. SQLite has one: a second process would have another file. */}}
{{- define "cart-promotions.replicas" -}}
{{- if eq .Values.engine "sqlite" }}
{{- if gt (int (.Values.replicas | default 1)) 1 }}{{ fail "engine sqlite runs one server: set replicas to 1, or engine to postgres" }}{{ end -}}
1
{{- else }}{{ .Values.replicas | default 2 }}{{ end }}
{{- end }}
