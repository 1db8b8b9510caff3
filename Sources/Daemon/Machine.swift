// What the machine and the container allow: read once, at the start.
import Core
import Linux

/// CPUs that may be used: by affinity, and by the quota of this process's cgroup and all above it.
func usableCPUCount() -> Int {
  let paths = CgroupPaths(procSelfCgroup: small("/proc/self/cgroup") ?? [])
  var count = usableCPUs()
  for path in CgroupPaths.withParents(paths.unified ?? []) {
    let file = [UInt8]("/sys/fs/cgroup") + path + [UInt8]("/cpu.max")
    if let quota = readFile(file, limit: 256).flatMap({ cpuCount(cpuMax: $0) }) {
      count = min(count, quota)
    }
  }
  for path in CgroupPaths.withParents(paths.cpuController ?? []) {
    let folder = [UInt8]("/sys/fs/cgroup/cpu") + path
    if let quota = readFile(folder + [UInt8]("/cpu.cfs_quota_us"), limit: 64),
      let period = readFile(folder + [UInt8]("/cpu.cfs_period_us"), limit: 64),
      let cpus = cpuCount(cfsQuota: quota, cfsPeriod: period)
    {
      count = min(count, cpus)
    }
  }
  return count
}

/// fs.pipe-user-pages-soft in pages; the kernel's default when it cannot be read.
func pipeQuotaPages() -> Int {
  small("/proc/sys/fs/pipe-user-pages-soft").flatMap { parseNumberFile($0) }.map { Int($0) }
    ?? 16_384
}

private func small(_ path: StaticString) -> [UInt8]? { readFile([UInt8](path), limit: 16_384) }
