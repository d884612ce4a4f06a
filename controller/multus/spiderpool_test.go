package multus

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	appsv1client "k8s.io/client-go/kubernetes/typed/apps/v1"

	"github.com/ibfabric/ibfabric/controller/record"
	"github.com/ibfabric/ibfabric/controller/rights"
)

// cluster is one with things that are called like Spiderpool's, and the rights of accounts.
type cluster struct {
	appsv1client.AppsV1Interface
	controllers []appsv1.Deployment
	agents      []appsv1.DaemonSet

	mu    sync.Mutex          // protects what follows
	may   map[string][]string // what each account may, verb and resource
	err   error
	asked int
}

func (c *cluster) May(_ context.Context, account types.NamespacedName, oneOf ...rights.Right) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	for _, right := range oneOf {
		for _, may := range c.may[account.String()] {
			if right.String() == may {
				return true, nil
			}
		}
	}
	return false, c.err
}

func (c *cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (c *cluster) Deployments(string) appsv1client.DeploymentInterface { return deployments{c: c} }
func (c *cluster) DaemonSets(string) appsv1client.DaemonSetInterface   { return daemonSets{c: c} }

type deployments struct {
	appsv1client.DeploymentInterface
	c *cluster
}

func (d deployments) List(context.Context, metav1.ListOptions) (*appsv1.DeploymentList, error) {
	return &appsv1.DeploymentList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: d.c.controllers}, nil
}

func (d deployments) Watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return quiet(o)
}

type daemonSets struct {
	appsv1client.DaemonSetInterface
	c *cluster
}

func (d daemonSets) List(context.Context, metav1.ListOptions) (*appsv1.DaemonSetList, error) {
	return &appsv1.DaemonSetList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: d.c.agents}, nil
}

func (d daemonSets) Watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return quiet(o)
}

// quiet is a watch of an older API server, in which nothing happens.
func quiet(o metav1.ListOptions) (watch.Interface, error) {
	if o.SendInitialEvents != nil {
		return nil, apierrors.NewInvalid(appsv1.SchemeGroupVersion.WithKind("x").GroupKind(), "", nil)
	}
	return watch.NewFake(), nil
}

// watched starts a Spiderpool on a cluster, until the test ends.
func watched(t *testing.T, c *cluster) (*Spiderpool, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	log, _, err := record.NewLogger(&out, "json", "debug")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSpiderpool(c, c, record.New(log, nil), time.Now, time.After)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return s, &out
}

// at is the metadata of a part of Spiderpool's.
func at(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: "1"}
}

func settle() {
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

func bothParts(namespace string) *cluster {
	return &cluster{
		controllers: []appsv1.Deployment{{ObjectMeta: at(namespace, spiderpoolController)}},
		agents:      []appsv1.DaemonSet{{ObjectMeta: at(namespace, spiderpoolAgent)}},
	}
}

const (
	makesNetworks = "create network-attachment-definitions.k8s.cni.cncf.io"
	writesPools   = "update spiderippools.spiderpool.spidernet.io/status"
)

func TestATenantsPodsThatAreCalledLikeSpiderpoolAreNotTakenForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bothParts("team-a")
		c.may = map[string][]string{"team-a/default": {writesPools + "x", "patch pods"}}
		s, log := watched(t, c)
		if s.Known() {
			t.Error("known before it was looked for")
		}
		settle()
		time.Sleep(time.Hour)
		if !s.Known() || s.Controller() != "" || s.Settings() != without {
			t.Errorf("known %v, controller %q, settings %+v", s.Known(), s.Controller(), s.Settings())
		}
		for _, want := range []string{"deployment team-a/spiderpool-controller is called like", "daemonset team-a/spiderpool-agent is called like"} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("not said once: %s\n%s", want, log)
			}
		}
	})
}

func TestEachPartOfSpiderpoolCountsByItsOwnRights(t *testing.T) {
	for right, want := range map[string]verdict{
		makesNetworks: {controller: "deployment odd/spiderpool-controller"},
		"update network-attachment-definitions.k8s.cni.cncf.io": {controller: "deployment odd/spiderpool-controller"},
		writesPools: {settings: with},
		"create spiderendpoints.spiderpool.spidernet.io": {settings: with},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := bothParts("odd")
			c.may = map[string][]string{"odd/default": {right}}
			s, _ := watched(t, c)
			settle()
			if got := (verdict{s.Controller(), s.Settings()}); !s.Known() || got != want {
				t.Errorf("with %s it is %+v", right, got)
			}
		})
	}
}

func TestRightsThatComeAfterSpiderpoolAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bothParts("spiderpool")
		s, _ := watched(t, c)
		settle()
		var told []string
		defer s.follow(func() { told = append(told, s.Controller()) })()
		c.set(func() { c.may = map[string][]string{"spiderpool/default": {makesNetworks}} })
		time.Sleep(judgeEvery)
		time.Sleep(judgeEvery)
		synctest.Wait()
		if diff := cmp.Diff([]string{"", "deployment spiderpool/spiderpool-controller"}, told); diff != "" {
			t.Errorf("who follows was told (-want +got):\n%s", diff)
		}
	})
}

func TestASpiderpoolWhoseRoleIsMadeAnewCountsAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bothParts("spiderpool")
		c.may = map[string][]string{"spiderpool/default": {makesNetworks, writesPools}}
		s, _ := watched(t, c)
		settle()
		c.set(func() { c.may = nil })
		time.Sleep(3 * judgeEvery)
		synctest.Wait()
		if s.Controller() == "" || s.Settings() != with {
			t.Errorf("controller %q, settings %+v", s.Controller(), s.Settings())
		}
	})
}

func TestWhatIsCalledLikeSpiderpoolCountsWhereNobodyMayAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bothParts("team-a")
		c.err = errors.New("grant the verb create on subjectaccessreviews")
		s, log := watched(t, c)
		settle()
		time.Sleep(time.Hour)
		if s.Controller() == "" || s.Settings() != with {
			t.Error("it does not count")
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "grant the verb create on subjectaccessreviews") {
			t.Errorf("said %d times:\n%s", n, log)
		}
	})
}

func TestWhereNothingIsCalledLikeSpiderpoolNobodyIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := int32(0)
		c := bothParts("spiderpool")
		c.agents, c.controllers[0].Spec.Replicas = nil, &none
		s, _ := watched(t, c)
		settle()
		if !s.Known() || c.asked > 0 {
			t.Errorf("known %v, asked %d times", s.Known(), c.asked)
		}
	})
}
