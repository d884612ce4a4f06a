package control

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// defect is something that was found wrong in ib-kubernetes (at 528f63f), and what is so
// here. The tests fail where ibfabric has it too; those of other folders are named with
// their folder before the dot.
type defect struct {
	number       int
	wrong, holds string
	tests        []string
}

// defects are all 42, by letter as their tests are. What no test can show says why.
func defects() []defect {
	return []defect{
		// Isolation
		{1, "who asks for a live pod's GUID takes it, and its partition, from that pod", "it stays whose it is, whoever asks and however; UFM is told nothing",
			[]string{"TestDefect1WhoeverAsksForALivePodsGUIDGetsNothing", "TestRule1AGUIDHasOneOwnerAndALiveOneNeverLosesIt"}},
		{2, "networks of one name in two namespaces end in one PKey", "each namespace has its own",
			[]string{"TestDefect2NetworksOfOneNameInTwoNamespacesAreTwo"}},
		{3, "a pod that writes \"configured\" itself is passed over, by the CNI's check too", "it is served and gated as any other, and its word is taken back",
			[]string{"TestDefect3APodThatCallsItselfConfiguredGoesTheWayOfTheOthers", "TestDefect3TheWordOfARefusedPodIsTakenBack", "TestAdoptionBelievesNoTenant"}},
		{4, "without a certificate TLS is not verified, for the whole process", "it is, unless a setting says no, and then for that client alone",
			[]string{"ufm.TestDefect4SkippingVerificationIsOneClientsAffair", "ufm.TestWhichServersAreTakenForUFM", "TestRule10UFMWithAnotherCertificateIsNotTalkedTo", "cmd/ibfabric-controller.TestDefaultsAreSafe"}},
		{5, "the debug log shows the password", "nothing shows it, not even UFM's own words repeated",
			[]string{"TestDefect5ThePasswordIsInNoLogAlsoWhenUFMSaysItBack", "TestRule10NoSecretLeavesTheProcess", "ufm.TestSecretIsNeverPrinted", "ufm.TestEchoedSecretIsRedacted"}},
		{6, "two clusters on one fabric give out the same GUIDs", "what stands in UFM is kept from pods, also what came since the start",
			[]string{"TestDefect6WhatAnotherClusterPutsInMeanwhileIsNotGivenToAPod", "TestRule2AnUnclaimedMembersGUIDIsNotGivenToAPod"}},

		// Crashes and denial of service
		{7, "maps shared by three loops end the process", "adds and removes at once harm nobody (make race looks closer)",
			[]string{"TestDefect7PodsThatComeAndGoAtOnceHarmNobody", "TestAThousandPodsAreOneAddForAllThatWaitForAPKey"}},
		{8, "a deletion that the watch missed is a panic", "it is a deletion",
			[]string{"TestDefect8AnEndThatTheWatchMissedIsNoPanic"}},
		{9, "a pkey in an annotation that is no string ends every leader", "its pod is told, and no other hears of it",
			[]string{"TestDefects9To11WhatALeaderFindsDoesNotKeepItFromItsWork", "controller/attach.TestOneBadElementHidesNoOther"}},
		{10, "two live pods with one GUID keep any leader from starting", "one has it, the other is told",
			[]string{"TestDefects9To11WhatALeaderFindsDoesNotKeepItFromItsWork", "TestRule7OfTwoEqualClaimsTheOlderPodsStands"}},
		{11, "a malformed GUID in UFM's list keeps any leader from starting", "it is left out and said, and hides no other",
			[]string{"TestDefects9To11WhatALeaderFindsDoesNotKeepItFromItsWork", "ufm.TestListIsReadInEveryShape"}},
		{12, "a missing network stalls all pods, and is asked for long after its pod is gone", "its pod waits alone, and is told once",
			[]string{"TestDefect12ANetworkThatIsMissingStallsNobody"}},
		{13, "pods on networks that are not InfiniBand stay in memory for ever", "nothing is kept of them",
			[]string{"TestDefect13OfPodsOnOtherNetworksNothingIsKept", "controller.TestAPodIsStrippedToWhatIsRead"}},

		// Stuck pods
		{14, "a pod that fails once is dropped without a word", "it is told why, and tried until it is served",
			[]string{"TestDefect14APodThatFailedIsTriedAgainUntilItIsServed", "TestRule9WhateverWaitsOrIsRefusedSaysWhyAndStopsNobody"}},
		{15, "with the pool exhausted a pod is offered GUID 0 and dropped", "it waits, and gets the next that is free",
			[]string{"TestRule4AGUIDIsHeldUntilUFMWasSeenWithoutItAndTheHoldIsOver", "TestDefect25AGUIDIsNotFreeBecauseUFMSaidSo"}},
		{16, "after a restart pods are offered the GUIDs of live ones that UFM does not list", "the ledger knows whose they are, and without it the pods do",
			[]string{"TestDefect16AfterARestartNoNewPodIsOfferedALivePodsGUID", "TestTheNoopPluginKeepsItsGUIDsOverARestart"}},
		{17, "a typo in a network's pkey is tried for ever in silence", "it is told once with its mend, and taken up when mended",
			[]string{"TestDefect17ATypoInAPKeyIsToldOnceAndWaitsForItsMend", "controller/attach.TestNetworkRefusesAndSaysWhatToWrite"}},
		{18, "two writers of one queue entry have a network worked on twice", "a pod is served once, however often it is seen",
			[]string{"TestDefect18APodThatIsSeenAgainAndAgainIsServedOnce", "TestAThousandPodsAreOneAddForAllThatWaitForAPKey"}},

		// What the fabric holds
		{19, "what ends while nobody leads stays in UFM, and what UFM loses stays lost", "both are found and mended",
			[]string{"TestDefect19WhatACrashLeavesInUFMIsTakenUpOrTakenOut", "TestRule8WhatEndedUnseenIsFoundAndRemoved", "TestDriftIsRepairedBothWays"}},
		{20, "an edited network is not seen, and a GUID is taken out of the PKey that its network has by then", "new pods get the new one, old ones leave the one they are in",
			[]string{"TestDefect20AMemberGoesOutOfThePKeyItIsInWhateverItsNetworkSaysByThen", "TestAPodKeepsWhatItHasWhenItsNetworkChanges"}},
		{21, "an error in one pod's removal takes live pods out of their partition and in again", "they are not touched",
			[]string{"TestDefect21LivePodsStayWhereTheyAreWhenAnothersRemovalFails"}},
		{22, "eight VFs on one network are 56 removes and 64 patches", "they are one add and one patch",
			[]string{"TestAPodWithEightRailsOfOneNetwork", "TestTwentyPodsWithEightVFsTakeTwoAdds"}},
		{23, "a GUID in capitals or with dashes is never let go", "every spelling is the same GUID, in and out",
			[]string{"TestDefect23EverySpellingOfAGUIDIsTheSameGUID", "guid.TestParseReadsEveryFormInUse"}},
		{24, "of a GUID in two PKeys one is forgotten, by chance", "each is known, and only ours are left",
			[]string{"TestDefect24AGUIDInSeveralPartitionsIsKnownInEachOfThem", "ufm.TestListIsReadInEveryShape"}},
		{25, "a GUID is free as soon as UFM says 200", "it is when UFM was seen without it and the hold is over",
			[]string{"TestDefect25AGUIDIsNotFreeBecauseUFMSaidSo", "TestRule4AGUIDIsHeldUntilUFMWasSeenWithoutItAndTheHoldIsOver", "controller.TestOutMeansAnsweredAndSeenBySame"}},

		// Latency and scale
		{26, "work begins after scheduling, with the next tick", "it begins with the pod, and the gate waits for it",
			[]string{"TestDefect26APodIsServedBeforeItHasANodeAndWithoutATick"}},
		{27, "a lock is held while UFM thinks, and no event of the cluster gets through", "everything else goes on",
			[]string{"TestDefect27WhileUFMThinksEverythingElseGoesOn"}},
		{28, "a call that fails delays all networks by its retries", "another partition does not notice",
			[]string{"TestDefect28APartitionThatFailsHoldsUpNoOther", "TestRule3NoPodIsReleasedBeforeUFMHoldsAllItsMemberships"}},
		{29, "after an outage each waiting pod costs six removes before it is tried again", "requests count partitions, not pods, and nothing is removed",
			[]string{"TestDefect29AnOutageCostsUFMNoMoreRequestsThanPartitions", "TestAUFMThatTakesNoChangesIsNotHammered"}},
		{30, "a UFM that stalls is waited for without end", "it is given up at its deadline and asked again",
			[]string{"TestDefect30AUFMThatStallsIsGivenUpAndAskedAgain", "TestAUFMThatHangsIsLeftForTheNext", "ufm.TestUnansweredWriteIsUnknownAndStaysWhereItWas"}},
		{31, "whole objects of all pods are kept, and every change of one is a line", "a pod is stripped to what is read, and what concerns nobody is not logged",
			[]string{"TestDefect31WhatConcernsNobodyIsNotLogged", "controller.TestAPodIsStrippedToWhatIsRead"}},
		{32, "after a restart each allocation walks over all that is taken", "the walk goes on where it was; a benchmark shows what it costs",
			[]string{"guid.TestResumeGoesOnBehindTheLastLeader", "guid.BenchmarkAllocateWithAMillionInUse"}},
		{33, "after a leader's end up to a minute passes", "a clean stop hands over at once, a crash after the short lease",
			[]string{"TestACleanStopLeavesTheRestToTheNextLeader", "cmd/ibfabric-controller.TestDefaultsAreSafe"}},

		// The APIs of others
		{34, "a patch carries every annotation as it was cached, over whatever came since", "it carries one, on the condition that it is as it was read",
			[]string{"TestDefect34WhatOthersWriteMeanwhileStands", "controller/attach.TestEditWritesWhatIbKubernetesWrites"}},
		{35, "membership, index 0 and IPoIB are fixed, and every answer but 200 is \"again\"", "networks choose, and each answer counts for what it says",
			[]string{"TestRule3NoPodIsReleasedBeforeUFMHoldsAllItsMemberships", "TestARejectedMemberDoesNotStopTheOthers", "ufm.TestWhatComesOfAStatus", "ufm.TestMembersComeAndGo"}},

		// TLS, secrets and papers
		{36, "the certificate made as its guide says is refused", "it is trusted by being named",
			[]string{"ufm.TestWhichServersAreTakenForUFM"}},
		{37, "a certificate that is none is taken without a word, and a client's cannot be given", "it is refused by name, and can be",
			[]string{"ufm.TestNewNamesTheSettingThatIsWrong", "ufm.TestClientCertificateIsShown"}},
		{38, "new secrets need a restart", "they are read when they change, or when the old are refused",
			[]string{"ufm.TestNewPasswordIsUsedAsSoonAsTheOldIsRefused", "ufm.TestNewCredentialsAreSeenInTime", "ufm.TestRotatedCAIsTrusted"}},
		{39, "its guide names the user in a key that it does not read", "that key is read too; no test reads our own guides",
			[]string{"ufm.TestNewPasswordIsUsedAsSoonAsTheOldIsRefused", "cmd/ibfabric-controller.TestIBKubernetesSettingsWork"}},
		{40, "its Deployment asks for control-plane nodes and does not tolerate them", "there is no Deployment here yet to be tested", nil},
		{41, "plugins fit one toolchain only", "there are none to load: the client is part of a static program, which make build makes", nil},
		{42, "dead code, no test of a whole program, none of HTTP", "staticcheck looks for the first; the rest is this folder and ufm",
			[]string{"TestAPodGetsItsGUIDAndUFMItsMember"}},
	}
}

func TestEveryDefectIsAccountedFor(t *testing.T) {
	listed := map[string]int{}
	for i, d := range defects() {
		if d.number != i+1 || d.wrong == "" || d.holds == "" {
			t.Errorf("line %d is of defect %d: %q, %q", i+1, d.number, d.wrong, d.holds)
		}
		for _, name := range d.tests {
			listed[name] = d.number
			folder, function := "test/control", name
			if dot := strings.LastIndex(name, "."); dot >= 0 {
				folder, function = name[:dot], name[dot+1:]
			}
			if !testsIn(t, folder)[function] {
				t.Errorf("defect %d: %s has no %s", d.number, folder, function)
			}
		}
	}
	if n := len(defects()); n != 42 {
		t.Errorf("%d of the 42 are listed", n)
	}
	// And the other way: a test that names a defect stands at it.
	number := regexp.MustCompile(`^TestDefects?(\d+)`)
	for prefix, folder := range map[string]string{"": "test/control", "ufm.": "ufm"} {
		for name := range testsIn(t, folder) {
			m := number.FindStringSubmatch(name)
			if m == nil {
				continue
			}
			if of := listed[prefix+name]; m[1] != strconv.Itoa(of) && name != "TestDefects9To11WhatALeaderFindsDoesNotKeepItFromItsWork" {
				t.Errorf("%s%s is listed under defect %d", prefix, name, of)
			}
		}
	}
}

// testsIn are the functions of a folder's test files; folders count from the root.
func testsIn(t *testing.T, folder string) map[string]bool {
	t.Helper()
	dir := filepath.Join("..", "..", folder)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}
