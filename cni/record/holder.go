package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The files of incumbents outlive what they are about: a DEL that failed half-way, or never
// came, leaves one behind, and the device goes to the next pod. Here is what tells whose it
// is now.

// SriovHolder is the network namespace of the pod that sriov-cni gave a device to last, ""
// for none. That need not be the pod of a cache file that names the device.
func (i Incumbents) SriovHolder(device string) string {
	path, _ := os.ReadFile(filepath.Join(i.Sriov, "pci", filepath.Base(device)))
	return strings.TrimSpace(string(path))
}

// CacheKeys lists the attachments that have a cache file in a folder of ib-sriov-cni's or
// sriov-cni's. A container ID of a runtime has no dash; an interface may.
func CacheKeys(dir string) (keys []Key, err error) {
	err = eachFile(dir, func(name string) {
		container, ifname, ok := strings.Cut(name, "-")
		if ok && container != "" && ifname != "" {
			keys = append(keys, Key{container, ifname})
		}
	})
	return keys, err
}

// RDMAKeys lists the attachments that have a state file of rdma-cni, each with its network.
// Such a file is called <network>-<container>-<interface>, and a network may have dashes:
// the container is the part that looks like the ID that runtimes give.
func (i Incumbents) RDMAKeys() (map[Key]string, error) {
	keys := map[Key]string{}
	err := eachFile(i.RDMA, func(name string) {
		parts := strings.Split(name, "-")
		for n := 1; n < len(parts)-1; n++ {
			if len(parts[n]) == 64 && strings.Trim(parts[n], "0123456789abcdef") == "" {
				keys[Key{parts[n], strings.Join(parts[n+1:], "-")}] = strings.Join(parts[:n], "-")
				return
			}
		}
	})
	return keys, err
}

// Superseded reports whether the plugin that wrote r gave its device to another pod after
// that: a younger cache file names the same device.
func (i Incumbents) Superseded(r *Record) (bool, error) {
	dir := map[string]string{"ib-sriov": i.IBSriov, "sriov": i.Sriov}[r.Plugin]
	keys, err := CacheKeys(dir)
	if err != nil || r.written.IsZero() {
		return false, err
	}
	for _, k := range keys {
		var other common
		o, err := readCache(dir, k, &other)
		if o == nil || err != nil || k == r.Key() {
			continue // one that cannot be read has its own DEL to say so
		}
		if strings.EqualFold(other.DeviceID, r.Device) && o.written.After(r.written) {
			return true, nil
		}
	}
	return false, nil
}

// NetNSOf is the path of a container's network namespace, "" when nobody wrote it down. The
// library that runtimes call plugins with keeps it, since its version 1.2, with the answer
// of each ADD until the DEL; any network of the container will do.
func (i Incumbents) NetNSOf(container string) (path string, err error) {
	err = eachFile(i.Results, func(name string) {
		if path != "" || !strings.Contains(name, "-"+container+"-") {
			return
		}
		var cached struct {
			ContainerID string `json:"containerId"`
			NetNS       string `json:"netns"`
		}
		text, err := os.ReadFile(filepath.Join(i.Results, name))
		if err == nil && json.Unmarshal(text, &cached) == nil && cached.ContainerID == container {
			path = cached.NetNS
		}
	})
	return path, err
}

// eachFile calls f for the regular files of a folder; one that is not there has none.
func eachFile(dir string, f func(name string)) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listing the files of another plugin: %w", err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			f(e.Name())
		}
	}
	return nil
}

func writtenAt(file string) (time.Time, error) {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
