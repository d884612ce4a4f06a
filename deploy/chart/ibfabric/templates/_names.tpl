{{/* The first fabric, called fabric, has the plain names; those of others carry its name. */}}
{{- define "ibfabric.base" -}}
{{- if eq .Values.fabric "fabric" }}ibfabric{{ else }}ibfabric-{{ .Values.fabric }}{{ end }}
{{- end }}

{{- define "ibfabric.controller" -}}
{{ include "ibfabric.base" . }}-controller
{{- end }}

{{- define "ibfabric.webhook" -}}
{{ include "ibfabric.base" . }}-webhook
{{- end }}

{{- define "ibfabric.node" -}}
{{ include "ibfabric.base" . }}-node
{{- end }}

{{/* Cluster-wide objects of two releases of one fabric name would be each other's. */}}
{{- define "ibfabric.account" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "ibfabric.controller" . }}
{{- end }}

{{- define "ibfabric.controllerLabels" -}}
app.kubernetes.io/name: ibfabric-controller
app.kubernetes.io/instance: {{ .Values.fabric }}
{{- end }}

{{- define "ibfabric.nodeLabels" -}}
app.kubernetes.io/name: ibfabric-node
app.kubernetes.io/instance: {{ .Values.fabric }}
{{- end }}

{{/* A call with the root, a program's name and a digest. */}}
{{- define "ibfabric.image" -}}
{{- $root := index . 0 }}{{ $name := index . 1 }}{{ $digest := index . 2 -}}
{{ $root.Values.image.registry }}/{{ $name }}
{{- if $digest }}@{{ $digest }}{{ else }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Flags for what is set: anything else is the ConfigMap's to say, or the program's. */}}
{{- define "ibfabric.args" -}}
- --fabric={{ .Values.fabric }}
- --config-dir=/etc/ibfabric/config
- --ufm-secret-dir=/etc/ibfabric/ufm
- --sync-policy={{ .Values.syncPolicy }}
- --log-level={{ .Values.controller.logLevel }}
- --log-format={{ .Values.controller.logFormat }}
{{- range $flag, $value := dict
  "network-selector" .Values.networkSelector
  "sm-plugin" .Values.ufm.plugin
  "ufm-address" .Values.ufm.address
  "ufm-http-schema" .Values.ufm.scheme
  "ufm-port" .Values.ufm.port
  "ufm-timeout" .Values.ufm.timeout
  "ufm-chunk" .Values.ufm.chunk
  "ufm-concurrency" .Values.ufm.concurrency
  "guid-range-start" .Values.guids.start
  "guid-range-end" .Values.guids.end
  "hold" .Values.guids.hold
  "pkey-scope" .Values.pkeys.scope
  "pkey-range" .Values.pkeys.range
  "pkey-table-entries" .Values.pkeys.tableEntries
  "sync-period" .Values.syncPeriod
  "claim-sources-from" (join "," .Values.claims.sourcesFrom)
  "inject-namespaces" (join "," .Values.multusConfigs.injectNamespaces)
}}
{{- if kindIs "float64" $value }}{{ $value = int64 $value }}{{ end }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- {{ printf "--%s=%s" $flag (toString $value) | quote }}
{{- end }}
{{- end }}
{{- if .Values.ufm.skipTLSVerify }}
- --ufm-skip-tls-verify
{{- end }}
{{- if .Values.ufm.waitApplied }}
- --wait-applied
{{- end }}
{{- if .Values.pkeys.requirePartition }}
- --require-partition
{{- end }}
- --multus-configs={{ .Values.multusConfigs.mode }}
- {{ printf "--inject-exclude-namespaces=%s" (join "," .Values.multusConfigs.injectExcludeNamespaces) | quote }}
{{- if .Values.admission.enabled }}
- --admission
- --webhook-service={{ include "ibfabric.webhook" . }}
{{- if .Values.admission.certificateSecret }}
- --webhook-cert-dir=/etc/ibfabric/webhook
{{- end }}
{{- end }}
- --metrics-address={{ if .Values.metrics.plainPort }}:{{ .Values.metrics.plainPort }}{{ else }}0{{ end }}
{{- range .Values.controller.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* A list of names, in CEL. */}}
{{- define "ibfabric.names" -}}
[{{ range $i, $name := . }}{{ if $i }}, {{ end }}'{{ $name }}'{{ end }}]
{{- end }}
