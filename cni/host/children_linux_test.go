package host

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// link is an answer to RTM_GETLINK, as the kernel gives one for each netdev.
func link(index int32, name, kind string, parent, pkey int) []byte {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = index
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.ZeroTerminated(kind))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_IPOIB_PKEY, nl.Uint16Attr(uint16(pkey)))
	text := msg.Serialize()
	for _, attr := range []*nl.RtAttr{
		nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)), nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(uint32(parent))), info,
	} {
		text = append(text, attr.Serialize()...)
	}
	return text
}

func TestIPoIBChildrenAreThoseThatHangOnTheirParent(t *testing.T) {
	messages := [][]byte{
		link(5, "ib0", "ipoib", 5, 0xffff), // the parent
		link(6, "ib1", "ipoib", 6, 0xffff),
		link(7, "ib0.9000", "ipoib", 5, 0x9000),
		link(8, "ib1.9000", "ipoib", 6, 0x9000),
		link(9, "vlan", "vlan", 5, 0),
		link(4, "ib0.0020", "ipoib", 5, 0x8020),
	}
	got, err := parseChildren(messages, 5)
	want := []Child{{7, "ib0.9000", 0x9000}, {4, "ib0.0020", 0x8020}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := parseChildren([][]byte{messages[0][:unix.SizeofIfInfomsg-1]}, 5); err == nil {
		t.Errorf("a torn answer: %v", got)
	}
}

// No IPoIB is to be had here; that the kernel takes the question is.
func TestANamespaceWithoutIPoIBHasNoChildren(t *testing.T) {
	ns := newNetNS(t)
	if list, err := children(ns, 1); err != nil || len(list) > 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
