// Every limit worked out before it is hit: connections out of descriptors, pipes out of the quota.

/// What one process may use, shared out among its workers.
public struct Limits: Equatable, Sendable {
  public let workers: Int
  /// Connections of all workers together.
  public let connections: Int
  /// What MAX_CONNECTIONS asked for, when the descriptor limit allows less.
  public let loweredFrom: Int?
  public let pipesPerWorker: Int
  /// RLIMIT_NOFILE.
  public let descriptors: Int

  /// Standard streams, pollers, counters, listeners, and a rest for files that are read.
  static let reservedDescriptors = 32
  /// Beyond this more pipes serve nobody: a worker fills and drains one at a time, and only readers
  /// that are slow keep theirs.
  static let maxPipesPerWorker = 128

  /// - Parameters:
  ///   - settings: what was asked for.
  ///   - descriptors: RLIMIT_NOFILE.
  ///   - cpus: what affinity and quota leave.
  ///   - pipeQuotaPages: fs.pipe-user-pages-soft in pages of 4 KiB; zero means no quota (proc(5)).
  ///   - pipeBytes: what one pipe holds (pipe(7), 64 KiB by default).
  public init(
    settings: Settings, descriptors: Int, cpus: Int, pipeQuotaPages: Int, pipeBytes: Int
  ) {
    self.descriptors = descriptors
    workers = settings.workers ?? max(1, min(cpus, 64))
    let free = max(
      2, descriptors - Self.reservedDescriptors - settings.forwards.count - 2 * workers)
    // Half of the quota: the user's other processes, and other sidecars, live on it too.
    let pagesPerPipe = max(1, pipeBytes / 4096)
    let byQuota = pipeQuotaPages > 0 ? pipeQuotaPages / 2 / pagesPerPipe : Int.max
    // An eighth of the descriptors: connections need them more.
    let byDescriptors = free / 8 / 2
    pipesPerWorker = max(1, min(byQuota / workers, byDescriptors / workers, Self.maxPipesPerWorker))
    let allowed = max(1, (free - 2 * pipesPerWorker * workers) / 2)
    let asked = settings.maxConnections ?? allowed
    connections = min(asked, allowed)
    loweredFrom = asked > allowed ? asked : nil
  }
}
