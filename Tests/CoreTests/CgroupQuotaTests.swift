import Core
import Testing

@Test(arguments: [
  ("200000 100000\n", 2), ("100000 100000\n", 1), ("25000 100000\n", 1), ("1000 100000", 1),
  ("250000 100000\n", 3), ("200001 100000\n", 3), ("0 100000\n", 1),
  ("18446744073709551615 1\n", 1 << 20), ("max 100000\n", nil), ("", nil), ("max\n", nil),
  ("200000\n", nil), ("200000 0\n", nil), ("200000  100000\n", 2), ("a b", nil),
  ("-1 100000", nil), ("1 2 3", nil),
])
func aUnifiedQuotaGivesCPUs(cpuMax: String, count: Int?) {
  #expect(cpuCount(cpuMax: [UInt8](cpuMax.utf8)) == count)
}

@Test(arguments: [
  ("200000\n", "100000\n", 2), ("150000\n", "100000\n", 2), ("1000\n", "100000\n", 1),
  ("-1\n", "100000\n", nil), ("100000\n", "0\n", nil), ("", "", nil), ("100000\n", "-1\n", nil),
])
func anOlderQuotaGivesCPUs(quota: String, period: String, count: Int?) {
  #expect(
    cpuCount(cfsQuota: [UInt8](quota.utf8), cfsPeriod: [UInt8](period.utf8)) == count)
}

@Test(arguments: [
  ("0::/\n", "/", nil), ("0::/system.slice/docker-1.scope\n", "/system.slice/docker-1.scope", nil),
  (
    "12:pids:/ecs/1\n4:cpu,cpuacct:/ecs/1/2\n3:cpuset:/no\n1:name=systemd:/x\n0::/y\n", "/y",
    "/ecs/1/2"
  ),
  ("4:cpuacct,cpu:/a:b\n", nil, "/a:b"), ("4:cpuset:/a\n5:cpuacct:/b\n", nil, nil),
  ("0::relative\n0::/first\n0::/second\n", "/first", nil), ("", nil, nil),
  ("::\n:\n0:\n", nil, nil), ("1::/a\n", nil, nil), ("0::/a\0b\n", nil, nil),
])
func theCgroupsOfAProcess(file: String, unified: String?, cpuController: String?) {
  let paths = CgroupPaths(procSelfCgroup: [UInt8](file.utf8))
  #expect(paths.unified.map(text) == unified)
  #expect(paths.cpuController.map(text) == cpuController)
}

@Test(arguments: [
  ("/", [""]), ("/a/b", ["/a/b", "/a", ""]), ("/a//b/", ["/a/b", "/a", ""]), ("/../..", [""]),
  ("/a/../b", [""]), ("/..a", ["/..a", ""]), ("", [""]),
  (String(repeating: "/a", count: 33), [""]),
])
func theParentsOfACgroupLimitItToo(path: String, folders: [String]) {
  #expect(CgroupPaths.withParents([UInt8](path.utf8)).map(text) == folders)
}

@Test(arguments: 0..<20) func noBytesTrapTheQuotaParsers(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  for _ in 0..<1000 {
    let paths = CgroupPaths(
      procSelfCgroup: random.bytes(from: "0::/a/..\n4:cpu,cpuacct:/b", count: 0...80))
    for path in [paths.unified, paths.cpuController] {
      guard let path else { continue }
      #expect(CgroupPaths.withParents(path).last == [])
    }
    let number = random.bytes(from: "0123456789max -\n", count: 0...30)
    if let count = cpuCount(cpuMax: number) { #expect(count >= 1) }
    if let count = cpuCount(cfsQuota: number, cfsPeriod: [UInt8]("100000")) {
      #expect(count >= 1)
    }
  }
}
