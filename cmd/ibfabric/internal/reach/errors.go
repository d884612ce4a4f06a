package reach

import (
	"fmt"
	"strings"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
)

// forwardError reads what became of a port-forward from its text: the library keeps no
// more of it.
func forwardError(err error, l Leader) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "forbidden"):
		return fault.New(fault.Forbidden, "open a port-forward to the console", err,
			"# an administrator lets you, in the controller's namespace:",
			fmt.Sprintf("kubectl -n %s create role ibfabric-console --verb=create,get --resource=pods/portforward", l.Namespace),
			fmt.Sprintf("kubectl -n %s create rolebinding ibfabric-console-me --role=ibfabric-console --user=\"$(kubectl auth whoami -o jsonpath={.status.userInfo.username})\"", l.Namespace),
			"# or reach the console some other way: --address")
	case strings.Contains(text, "not found"), strings.Contains(text, "not running"):
		return NoLeader(l, fmt.Errorf("pod %s/%s, which led last, is gone", l.Console.Namespace, l.Console.Pod))
	}
	return fault.New(fault.Unreachable, fmt.Sprintf("open a port-forward to pod %s/%s", l.Console.Namespace, l.Console.Pod), err,
		fmt.Sprintf("kubectl -n %s get pod %s", l.Console.Namespace, l.Console.Pod))
}

// NoLeader is the error where nobody answers for a fabric, with what to look at.
func NoLeader(l Leader, err error) error {
	return fault.New(fault.Unreachable, fmt.Sprintf("nobody leads fabric %s", l.Fabric), err,
		fmt.Sprintf("kubectl -n %s get lease ibfabric-%s                     # who holds it, and when was it renewed?", l.Namespace, l.Fabric),
		fmt.Sprintf("kubectl -n %s get pods | grep ibfabric-controller    # does one run?", l.Namespace),
		fmt.Sprintf("kubectl -n %s logs deployment/ibfabric-controller    # what does it wait for?", l.Namespace))
}
