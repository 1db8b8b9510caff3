// What tests of names have in common: a resolv.conf of their own, a daemon that goes by it, and
// threads to wait on beside each other.
import Foundation
import Testing

/// A resolv.conf that is a test's alone.
final class ResolvConfFile: Sendable {
  private let directory: ScratchDirectory
  var path: String { directory.path("resolv.conf") }

  /// Nil: there is no such file yet.
  init(_ text: String?) throws {
    directory = try ScratchDirectory()
    if let text { try write(text) }
  }

  /// In one step, as a container's runtime does it.
  func write(_ text: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
  }

  /// As quickly after the last time as file times do not tell from each other: some milliseconds.
  func replaceAtOnce(with text: String) throws {
    var status = stat()
    try checked("stat", stat(path, &status))
    let new = directory.path("new")
    try Data(text.utf8).write(to: URL(fileURLWithPath: new))
    try checked("utimensat", utimensat(AT_FDCWD, new, [status.st_atim, status.st_mtim], 0))
    try checked("rename", rename(new, path))
  }

  func remove() throws { try FileManager.default.removeItem(atPath: path) }
}

extension ScriptedNameServer {
  /// Lists all its addresses.
  var conf: String { addresses.map { "nameserver \($0.rawValue)\n" }.joined() }
}

let targetName = "db.test"

/// As `withSidecar`, with `targetName` for the target unless `settings` say otherwise, and `names`
/// for its name server. `options` are further lines of its resolv.conf.
func withSidecar(
  to target: Target? = nil, asking names: ScriptedNameServer, options: String = "",
  _ settings: [String: String] = [:], _ body: (Sidecar) throws -> Void
) throws {
  let conf = try ResolvConfFile(names.conf + options + "\n")
  try withSidecar(to: target, asking: names, conf, settings, body)
}

func withSidecar(
  to target: Target? = nil, asking names: ScriptedNameServer, _ conf: ResolvConfFile,
  _ settings: [String: String] = [:], _ body: (Sidecar) throws -> Void
) throws {
  var environment = [
    "SIDECAR_RESOLV_CONF": conf.path, "SIDECAR_DNS_PORT": String(names.port), "LOG_LEVEL": "debug",
  ]
  if target != nil { environment["TARGET_HOST"] = targetName }
  environment.merge(settings) { _, ours in ours }
  try withSidecar(to: target, environment, body)
}

extension Sidecar {
  /// A client whose first byte spares it the wait for being taken for a probe.
  func connectAndSpeak() throws -> Peer {
    let client = try connect()
    try client.send("?")
    return client
  }

  /// A connection that was forwarded to `target` and ended in order.
  func visit(_ target: Target) throws {
    let client = try connectAndSpeak()
    let upstream = try target.accept()
    try upstream.expect("?")
    upstream.close()
    try client.expect(.closed)
  }

  /// Whether a client is forwarded to `target` at this moment; else it must be reset.
  func isServed(by target: Target) throws -> Bool {
    let client = try connect()
    var hint = pollfd(fd: client.socket.descriptor, events: Int16(POLLIN), revents: 0)
    try eventually("a client is served or sent away") {
      target.isBeingCalled || poll(&hint, 1, 1) == 1
    }
    guard target.isBeingCalled else {
      try client.expect(.reset)
      return false
    }
    let upstream = try target.accept()
    upstream.close()
    try client.expect(.closed)
    return true
  }

  /// Waits until clients are served again; failures are remembered for a while.
  func waitUntilServed(by target: Target) throws {
    try eventually("clients are served") {
      if try isServed(by: target) { return true }
      pause(.milliseconds(100))
      return false
    }
  }

  /// The messages from name servers that were logged.
  var messages: [LogLine] { log.filter { $0.message == "name server answered" } }
}

/// How long `work` took.
func timing(_ work: () throws -> Void) rethrows -> Duration {
  let start = ContinuousClock.now
  try work()
  return ContinuousClock.now - start
}

/// Runs tests on threads of their own, some beside each other: they wait more than they work, and
/// would keep the others from the few threads that all tests share.
struct Aside: SuiteTrait, TestTrait, TestScoping {
  var isRecursive: Bool { true }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    try await withTaskExecutorPreference(AsideThreads.shared) { try await function() }
  }
}

extension Trait where Self == Aside {
  static var aside: Aside { Aside() }
}

private final class AsideThreads: TaskExecutor, @unchecked Sendable {
  static let shared = AsideThreads()

  private let condition = NSCondition()
  private var jobs: [UnownedJob] = []

  init() {
    for _ in 0..<6 { Thread { [self] in run() }.start() }
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    condition.withLock {
      jobs.append(job)
      condition.signal()
    }
  }

  private func run() {
    while true {
      let job = condition.withLock {
        while jobs.isEmpty { condition.wait() }
        return jobs.removeFirst()
      }
      job.runSynchronously(on: asUnownedTaskExecutor())
    }
  }
}
