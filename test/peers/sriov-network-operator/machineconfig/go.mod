module github.com/openshift/machine-config-operator

go 1.26.0
