// Every limit worked out before it is hit: connections out of descriptors, pipes out of the quota.

/// What one process may use, shared out among its workers.
public struct Limits: Equatable, Sendable {
  public let workers: Int
  /// Connections of all workers together.
  public let connections: Int
  /// What MAX_CONNECTIONS asked for, when the descriptor limit allows less.
  public let loweredFrom: Int?
  /// Of each worker.
  public let pipes: PipeShare
  /// RLIMIT_NOFILE.
  public let descriptors: Int

  /// Standard streams, pollers, counters, listeners, and a rest for files that are read.
  static let reservedDescriptors = 32

  /// One worker for so many CPUs: whoever is forwarded for needs the others. What a second one
  /// gives on two CPUs is not much. Two workers and one, medians of 4 interleaved rounds, the ends
  /// on the same CPUs: MB/s on 16 streams 6,856 and 6,674, on 200 6,748 and 6,768; round trips a
  /// second on 64 connections 81,679 and 82,279, beside 8,000 idle ones 77,571 and 89,067, of
  /// 16 KiB 62,956 and 70,345, beside a stream 41,582 and 33,711; connections 15,853 and 15,151;
  /// pgbench 32,394 and 30,949. CPU time per GB where streams came in pieces of 64 KiB: 124 and 90
  /// ms on 16, 146 and 102 on 200.
  static let cpusPerWorker = 2

  /// - Parameters:
  ///   - settings: what was asked for.
  ///   - descriptors: RLIMIT_NOFILE.
  ///   - cpus: what affinity and quota leave.
  ///   - pipeQuotaPages: fs.pipe-user-pages-soft in pages of 4 KiB; zero means no quota (proc(5)).
  public init(settings: Settings, descriptors: Int, cpus: Int, pipeQuotaPages: Int) {
    self.descriptors = descriptors
    let perWorker = Self.cpusPerWorker
    workers = settings.workers ?? max(1, min((cpus + perWorker - 1) / perWorker, 64))
    let free = max(
      2, descriptors - Self.reservedDescriptors - settings.forwards.count - 2 * workers)
    // Half of the quota: the user's other processes, and other sidecars, live on it too.
    let pages = pipeQuotaPages > 0 ? pipeQuotaPages / 2 / workers : Int.max
    // An eighth of the descriptors: connections need them more.
    pipes = PipeShare(pages: pages, atMost: free / 8 / 2 / workers)
    let allowed = max(1, (free - 2 * pipes.count * workers) / 2)
    let asked = settings.maxConnections ?? allowed
    connections = min(asked, allowed)
    loweredFrom = asked > allowed ? asked : nil
  }
}

/// The pipes that one worker may have. Its first are large: one stream pays for fewer calls, and
/// many streams, whose pipes are filled less at a time, keep to the quota.
///
/// CPU time per GB, pipes of 64 KiB, 256 KiB, 1 MiB, and 4 of 1 MiB beside others of 256 KiB:
/// 1 stream 222, 115, 104, 113 ms; 16 streams 196, 172, 156, 166; 200 streams 164, 168, 164, 156.
/// Of 600 streams, whose readers fall behind, each holds one: three times as many, most of 64 KiB,
/// move as little then as copying does (3,800 to 4,500 MB/s).
public struct PipeShare: Equatable, Sendable {
  public static let largeBytes: Int32 = 1024 * 1024
  public static let smallBytes: Int32 = 256 * 1024
  static let largeAtMost = 4
  /// Beyond this more pipes serve nobody: a worker fills and drains one at a time, and only readers
  /// that are slow keep theirs.
  static let atMost = 128

  public let large: Int
  public let small: Int

  /// - Parameters:
  ///   - pages: of 4 KiB, what all of them may hold.
  ///   - atMost: how many the descriptors allow.
  init(pages: Int, atMost: Int) {
    let (largePages, smallPages) = (Int(Self.largeBytes / 4096), Int(Self.smallBytes / 4096))
    let most = max(1, min(atMost, Self.atMost))
    large = min(Self.largeAtMost, most, pages / 2 / largePages)
    small = max(large > 0 ? 0 : 1, min(most - large, (pages - large * largePages) / smallPages))
  }

  public var count: Int { large + small }
}
