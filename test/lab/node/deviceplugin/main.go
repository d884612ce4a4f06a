// Command deviceplugin offers the VFs of cards to a kubelet, by PCI address, as NVIDIA's and
// the SR-IOV network device plugin do: a pod that gets a VF also gets the device files of its
// RDMA device. It is the lab's own and no more than that: it registers once, and its list
// never changes.
//
//	deviceplugin FOLDER RESOURCE=PF[,PF…] …
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	v1beta1 "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: deviceplugin FOLDER RESOURCE=PF[,PF…] …")
	}
	for { // the kubelet empties its folder before it listens there
		if _, err := os.Stat(filepath.Join(os.Args[1], "kubelet.sock")); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for i, words := range os.Args[2:] {
		resource, pfs, _ := strings.Cut(words, "=")
		s, err := newServer(strings.Split(pfs, ","))
		if err == nil {
			err = s.offer(os.Args[1], fmt.Sprintf("lab-%d.sock", i), resource)
		}
		if err != nil {
			log.Fatalf("offering %s: %v", resource, err)
		}
		log.Printf("%s: %d VFs", resource, len(s.vfs))
	}
	select {}
}

// server is the device plugin of one resource.
type server struct {
	v1beta1.UnimplementedDevicePluginServer
	vfs []*v1beta1.Device
}

func newServer(pfs []string) (*server, error) {
	s := &server{}
	for _, pf := range pfs {
		links, err := filepath.Glob("/sys/bus/pci/devices/" + pf + "/virtfn*")
		if err != nil || len(links) == 0 {
			return nil, fmt.Errorf("%s has no VFs: %w", pf, err)
		}
		for _, link := range links {
			vf, err := os.Readlink(link)
			if err != nil {
				return nil, err
			}
			s.vfs = append(s.vfs, &v1beta1.Device{ID: filepath.Base(vf), Health: v1beta1.Healthy})
		}
	}
	return s, nil
}

// offer serves on a socket in the kubelet's folder and tells the kubelet.
func (s *server) offer(folder, socket, resource string) error {
	listener, err := net.Listen("unix", filepath.Join(folder, socket))
	if err != nil {
		return err
	}
	g := grpc.NewServer()
	v1beta1.RegisterDevicePluginServer(g, s)
	go func() { log.Fatal(g.Serve(listener)) }()
	kubelet, err := grpc.NewClient("unix:"+filepath.Join(folder, "kubelet.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer kubelet.Close()
	// The kubelet's socket is there a moment before its server.
	_, err = v1beta1.NewRegistrationClient(kubelet).Register(context.Background(),
		&v1beta1.RegisterRequest{Version: v1beta1.Version, Endpoint: socket, ResourceName: resource}, grpc.WaitForReady(true))
	return err
}

// GetDevicePluginOptions implements v1beta1.DevicePluginServer.
func (s *server) GetDevicePluginOptions(context.Context, *v1beta1.Empty) (*v1beta1.DevicePluginOptions, error) {
	return &v1beta1.DevicePluginOptions{}, nil
}

// ListAndWatch implements v1beta1.DevicePluginServer.
func (s *server) ListAndWatch(_ *v1beta1.Empty, stream v1beta1.DevicePlugin_ListAndWatchServer) error {
	if err := stream.Send(&v1beta1.ListAndWatchResponse{Devices: s.vfs}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// Allocate implements v1beta1.DevicePluginServer. The VF still has its RDMA device in the
// node's namespace: it moves when the CNI comes.
func (s *server) Allocate(_ context.Context, request *v1beta1.AllocateRequest) (*v1beta1.AllocateResponse, error) {
	answer := &v1beta1.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		files := []string{"/dev/infiniband/rdma_cm"}
		for _, vf := range container.DevicesIds {
			for _, kind := range []string{"infiniband_verbs/uverbs*", "infiniband_mad/umad*"} {
				found, err := filepath.Glob("/sys/bus/pci/devices/" + vf + "/" + kind)
				if err != nil {
					return nil, err
				}
				for _, device := range found {
					files = append(files, "/dev/infiniband/"+filepath.Base(device))
				}
			}
		}
		one := &v1beta1.ContainerAllocateResponse{Envs: map[string]string{"LAB_VFS": strings.Join(container.DevicesIds, ",")}}
		for _, file := range files {
			one.Devices = append(one.Devices, &v1beta1.DeviceSpec{HostPath: file, ContainerPath: file, Permissions: "rw"})
		}
		answer.ContainerResponses = append(answer.ContainerResponses, one)
	}
	return answer, nil
}
