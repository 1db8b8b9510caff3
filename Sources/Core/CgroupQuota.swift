// How many CPUs a container may use at a time, out of what the kernel's files say. The files are
// read elsewhere: cgroups(7), and Documentation/admin-guide/cgroup-v2.rst in the kernel's source.

/// Where this process's limits are, out of /proc/self/cgroup: paths below the mount of each kind.
public struct CgroupPaths: Equatable, Sendable {
  /// Below /sys/fs/cgroup, from the line `0::PATH`.
  public private(set) var unified: [UInt8]?
  /// Below /sys/fs/cgroup/cpu, from the line whose controllers include `cpu`.
  public private(set) var cpuController: [UInt8]?

  /// Takes the first line of each kind, and ignores what it does not understand.
  public init(procSelfCgroup bytes: [UInt8]) {
    var rest = bytes[...]
    while let line = nextPart(&rest, before: UInt8(ascii: "\n")) {
      let colon = UInt8(ascii: ":")
      guard let first = line.firstIndex(of: colon),
        let second = line[(first + 1)...].firstIndex(of: colon)
      else { continue }
      let controllers = line[(first + 1)..<second]
      let path = line[(second + 1)...]
      guard path.first == UInt8(ascii: "/"), !path.contains(0) else { continue }
      if controllers.isEmpty && line[..<first].equals("0") {
        unified = unified ?? [UInt8](path)
      } else if list(controllers, includes: "cpu") {
        cpuController = cpuController ?? [UInt8](path)
      }
    }
  }

  /// `path`, its parents and the root, each of which may set a limit: the lowest holds. Without a
  /// slash at the end, so that the root is empty. A path out of the container's sight (`/../..`)
  /// gives the root alone.
  public static func withParents(_ path: [UInt8]) -> [[UInt8]] {
    let slash = UInt8(ascii: "/")
    var folders: [[UInt8]] = [[]]
    var folder: [UInt8] = []
    var rest = path[...]
    while let part = nextPart(&rest, before: slash) {
      if part.isEmpty { continue }
      guard folders.count <= maxDepth, !part.equals("..") else { return [[]] }
      folder.append(slash)
      folder += part
      folders.insert(folder, at: 0)
    }
    return folders
  }

  /// Orchestrators nest half a dozen levels.
  private static let maxDepth = 32
}

private func list(_ text: ArraySlice<UInt8>, includes name: StaticString) -> Bool {
  var rest = text
  while let part = nextPart(&rest, before: UInt8(ascii: ",")) {
    if part.equals(name) { return true }
  }
  return false
}

/// CPUs by cgroup v2's `cpu.max`, such as `200000 100000`, rounded up. Nil: no limit, or no such
/// file.
public func cpuCount(cpuMax bytes: [UInt8]) -> Int? {
  var rest = bytes[...]
  guard let quota = nextField(&rest), let period = nextField(&rest), nextField(&rest) == nil
  else { return nil }
  return cpuCount(quota: parseDecimal(quota), period: parseDecimal(period))
}

/// CPUs by cgroup v1's cpu.cfs_quota_us (-1: no limit) and cpu.cfs_period_us, rounded up.
public func cpuCount(cfsQuota: [UInt8], cfsPeriod: [UInt8]) -> Int? {
  cpuCount(
    quota: parseNumberFile(cfsQuota).flatMap { UInt64(exactly: $0) },
    period: parseNumberFile(cfsPeriod).flatMap { UInt64(exactly: $0) })
}

private func cpuCount(quota: UInt64?, period: UInt64?) -> Int? {
  guard let quota, let period, period > 0 else { return nil }
  let (count, remainder) = quota.quotientAndRemainder(dividingBy: period)
  // Nobody has as many: the sum cannot overflow, and an `Int` holds it.
  return max(1, Int(min(count, 1 << 20)) + (remainder > 0 ? 1 : 0))
}
