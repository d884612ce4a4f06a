package programs

import (
	"os"
	"slices"
	"strings"
)

// Environment is ours without what would tell a program other things than whoever starts
// it does: a UFM_TOKEN of the real UFM, say, or the cluster of KUBECONFIG.
func Environment() []string { return clean(os.Environ()) }

func clean(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		return slices.ContainsFunc(foreign(), func(prefix string) bool { return strings.HasPrefix(kv, prefix) })
	})
}

// foreign are the beginnings of what programs of ours, and those they are compared with,
// take from the environment. KUBERNETES_ is set where the tests run in a pod.
func foreign() []string {
	return []string{
		"UFM_", "IBFABRIC_", "DAEMON_", "GUID_POOL_", "POD_", "NODE_NAME=", "KUBECONFIG=", "KUBERNETES_",
		"GOMAXPROCS=", "GOGC=", "GOMEMLIMIT=", "GODEBUG=",
	}
}
