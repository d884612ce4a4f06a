//go:build linux

package compat

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/Mellanox/ib-kubernetes/pkg/utils"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	nadutils "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/utils"

	"github.com/ibfabric/ibfabric/cni/ibsriov"
	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
)

func ibKubernetesRows() []row {
	ibKubernetes := peer{name: "ib-kubernetes", path: "github.com/Mellanox/ib-kubernetes", pin: "."}
	const file = "ibkubernetes_test.go"
	return []row{
		{ibKubernetes, "its own readers take what our controller wrote, and see the same GUID and PKey", file, theirReaders, ""},
		{ibKubernetes, "our controller's reader and our plugin take what its own functions write", file, ourReaders, ""},
	}
}

// theirNetworks are NADs that both controllers serve. The PKeys have no letters: v1.1.1
// refuses 0xa.
func theirNetworks() map[string]string {
	return map[string]string{
		"capability": `{"cniVersion":"0.3.1","name":"capability","type":"ib-sriov","pkey":"0x201","ibKubernetesEnabled":true,"capabilities":{"infinibandGUID":true}}`,
		"plain":      `{"cniVersion":"0.3.1","name":"plain","plugins":[{"type":"ib-sriov","pkey":"0x202","ibKubernetesEnabled":true}]}`,
	}
}

func theirReaders(t *testing.T, w *world) {
	ns := w.bed.Namespace(t)
	for name, config := range theirNetworks() {
		w.network(ns, name, infiniband, config)
	}
	pod := w.served(ns, "train", "capability,plain", 2)
	networks, err := nadutils.ParsePodNetworkAnnotation(pod)
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range theirNetworks() {
		var spec map[string]any
		if err := json.Unmarshal([]byte(config), &spec); err != nil {
			t.Fatal(err)
		}
		plugin, err := utils.GetIbSriovCniFromNetwork(spec)
		if err != nil {
			t.Fatal(err)
		}
		network, err := utils.GetPodNetwork(networks, name)
		if err != nil {
			t.Fatal(err)
		}
		if !utils.IsPodNetworkConfiguredWithInfiniBand(network) || !utils.PodNetworkHasGUID(network) {
			t.Errorf("%s: it is not done for them: %+v", name, network)
		}
		pkeyText := fmt.Sprint((*network.CNIArgs)["pkey"])
		key, err := utils.ParsePKey(pkeyText)
		if err != nil || pkeyText != plugin.PKey {
			t.Errorf("%s: they read PKey %s, %v; the network has %s", name, pkeyText, err, plugin.PKey)
		}
		if p := (map[int]string{0x201: "capability", 0x202: "plain"})[key]; p != name {
			t.Errorf("%s: they read PKey %#x", name, key)
		}
	}
	for i, g := range []string{w.only(0x201), w.only(0x202)} {
		if got, err := utils.GetPodNetworkGUID(networks[i]); got != g {
			t.Errorf("element %d: they see GUID %s (%v), UFM has %s", i, got, err, g)
		}
	}
}

func ourReaders(t *testing.T, _ *world) {
	const want = "02:00:00:00:00:00:00:2a"
	for _, capability := range []bool{false, true} {
		element := &nadv1.NetworkSelectionElement{Name: "red", Namespace: "team-a", InterfaceRequest: "rail0"}
		element.CNIArgs = &map[string]any{utils.InfiniBandAnnotation: utils.ConfiguredInfiniBandPod} // v1.1.1 writes no PKey down
		if err := utils.SetPodNetworkGUID(element, want, capability); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal([]*nadv1.NetworkSelectionElement{element})
		if err != nil {
			t.Fatal(err)
		}
		read, err := attach.ParseAnnotation("team-b", string(text))
		if err != nil || len(read) != 1 || read[0].Err != nil {
			t.Fatalf("%s: %+v, %v", text, read, err)
		}
		e := read[0]
		if g, _ := guid.Parse(want); !e.Configured || e.GUID != g || e.Network.String() != "team-a/red" || e.Interface != "rail0" {
			t.Errorf("%s: our controller reads %+v", text, e)
		}
		config := map[string]any{
			"cniVersion": "0.3.1", "name": "red", "type": "ib-sriov", "deviceID": "0000:17:00.1", "pkey": "0x10", "ibKubernetesEnabled": true,
			"args": map[string]any{"cni": *element.CNIArgs}, "runtimeConfig": map[string]string{"infinibandGUID": element.InfinibandGUIDRequest},
		}
		if text, err = json.Marshal(config); err != nil {
			t.Fatal(err)
		}
		conf, err := ibsriov.ParseConfig(text)
		if err != nil || conf.GUID.String() != want || len(conf.Claims) != 1 || conf.Claims[0].PKey != 0x10 {
			t.Errorf("%s: our plugin reads %+v, %v", text, conf, err)
		}
	}
}
