// What /proc tells about the daemon: descriptors, processor time, wakeups and children.
import Foundation

extension ChildProcess {
  private func entries(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/\(id)/\(folder)")
  }

  private func text(_ file: String) throws -> String {
    try String(contentsOfFile: "/proc/\(id)/\(file)", encoding: .utf8)
  }

  /// How many descriptors of each kind are open: socket, pipe, anon_inode, and paths.
  func openDescriptors() throws -> [String: Int] {
    var kinds: [String: Int] = [:]
    for name in try entries("fd") {
      let link = "/proc/\(id)/fd/\(name)"
      // One that was closed since the folder was read counts no more.
      guard let path = try? FileManager.default.destinationOfSymbolicLink(atPath: link)
      else { continue }
      kinds[String(path.prefix { $0 != ":" }), default: 0] += 1
    }
    return kinds
  }

  /// Waits until it holds this many sockets: a connect under way is one more than an accepted
  /// client.
  func waitForSockets(_ count: Int) throws {
    var now: Int?
    try eventually("\(count) sockets, there are \(now ?? 0)") {
      now = try openDescriptors()["socket"]
      return now == count
    }
  }

  /// User and system time used by all threads so far (proc(5), stat, fields 14 and 15).
  func processorTime() throws -> Duration {
    let stat = try text("stat")
    let fields = stat[stat.lastIndex(of: ")")!...].split(separator: " ")
    let ticks = (Int(fields[12]) ?? 0) + (Int(fields[13]) ?? 0)
    return .seconds(ticks) / Int(sysconf(Int32(_SC_CLK_TCK)))
  }

  /// How often all threads together went to sleep of their own accord.
  func wakeups() throws -> Int {
    try entries("task").reduce(0) { sum, thread in
      let lines = try text("task/\(thread)/status").split(separator: "\n")
      let line = lines.first { $0.hasPrefix("voluntary_ctxt_switches") }
      return sum + (Int(line?.split(separator: "\t").last ?? "") ?? 0)
    }
  }

  /// Memory that is this process's alone, and its share of what is not, in KiB.
  func proportionalSetSize() throws -> Int {
    let line = try text("smaps_rollup").split(separator: "\n").first { $0.hasPrefix("Pss:") }
    return Int(line?.split(separator: " ").dropFirst().first ?? "") ?? 0
  }

  /// Lets it open `spare` descriptors beyond those it has, and no more (prlimit(2), RLIMIT_NOFILE).
  func allowDescriptors(_ spare: Int) throws {
    let taken = Set(try entries("fd").compactMap { Int($0) })
    let free = (0...taken.count + spare).filter { !taken.contains($0) }
    let limit = free[spare]
    try run("prlimit", "--pid=\(id)", "--nofile=\(limit):")
  }

  /// Whatever it closes, it gets no other in its place.
  func forbidDescriptors() throws { try run("prlimit", "--pid=\(id)", "--nofile=3:") }

  func allowManyDescriptors() throws {
    try run("prlimit", "--pid=\(id)", "--nofile=1024:")
  }

  /// Stops all its threads, and returns when they stand still.
  func suspend() throws {
    send(SIGSTOP)
    try eventually("all threads stopped") {
      try entries("task").allSatisfy { thread in
        let stat = try text("task/\(thread)/stat")
        return stat[stat.lastIndex(of: ")")!...].hasPrefix(") T")
      }
    }
  }

  func resume() { send(SIGCONT) }
}

/// One process as /proc/PID/stat shows it.
struct ProcessEntry: Equatable {
  let id: pid_t
  let state: Character

  var isZombie: Bool { state == "Z" }

  static func children(of parent: pid_t) throws -> [ProcessEntry] {
    try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { name in
      guard let id = pid_t(name),
        let stat = try? String(contentsOfFile: "/proc/\(name)/stat", encoding: .utf8),
        let fields = stat.lastIndex(of: ")").map({ stat[$0...].split(separator: " ") }),
        fields.count > 2, pid_t(fields[2]) == parent
      else { return nil }
      return ProcessEntry(id: id, state: fields[1].first!)
    }
  }
}
