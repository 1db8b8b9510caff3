// The daemon under test: the static binary, started with an environment of its own, awaited by its
// log line, and ended with its test whatever happens.
import Foundation
import Testing

/// How the bytes are moved: the daemon's hidden test switch SIDECAR_TRANSFER.
enum Transfer: String, CaseIterable, Sendable {
  case copy, splice, auto
}

/// Keeps a daemon and the ports that it was given.
final class Sidecar: Sendable {
  let process: ChildProcess
  /// The port on which it listens.
  let port: UInt16
  /// The environment that it was given, for those who ask it.
  let settings: [String: String]
  private let reserved: ReservedPort?
  /// The file that is this daemon's alone, to be removed with it.
  private let copy: String?

  /// Starts the daemon. Without LISTEN_PORT or FORWARDS in `environment` it is given a free port;
  /// `wrapper` is a command that the binary is handed to, such as `setpriv …`.
  init(
    _ environment: [String: String], arguments: [String] = [], wrapper: [String] = [],
    streams: ChildProcess.Stream = .captured
  ) throws {
    var environment = environment
    if let chosen = environment["LISTEN_PORT"] {
      reserved = nil
      port = UInt16(chosen) ?? 0
    } else if environment["FORWARDS", default: ""] != "" {
      reserved = nil
      port = 0
    } else {
      // In sleep mode too: the control socket is named by it.
      let free = try ReservedPort()
      environment["LISTEN_PORT"] = String(free.number)
      reserved = free
      port = free.number
    }
    settings = environment
    let path = try wrapper.isEmpty ? Binary.path() : Binary.publicPath()
    process = try ChildProcess(
      wrapper + [path] + arguments, environment: environment, streams: streams)
    copy = wrapper.isEmpty ? nil : path
    endInTime()
  }

  /// No test lasts for ever: after a minute its daemon is gone, and all that waits for it fails.
  private func endInTime() {
    DispatchQueue.global().asyncAfter(deadline: .now() + 60) { [weak process] in process?.kill() }
  }

  deinit {
    process.kill()
    if let copy { unlink(copy) }
  }

  // MARK: Log

  var log: [LogLine] { process.output.lines.map { LogLine($0) } }

  /// The first line with this message, from line `start` on.
  @discardableResult
  func waitForLine(
    _ message: String, from start: Int = 0, within span: Duration = patience,
    where matches: @escaping (LogLine) -> Bool = { _ in true }
  ) throws -> LogLine {
    let line = process.output.first(from: start, within: span) { text in
      guard text.contains(message) else { return false }
      let line = LogLine(text)
      return line.message.hasPrefix(message) && matches(line)
    }
    guard let line else { throw Failure("no log line: \(message)") }
    return LogLine(line)
  }

  /// Waits until it listens, or has begun to sleep. Works for both log formats.
  func waitUntilStarted() throws {
    let line = process.output.first { $0.contains("sidecar ") && $0.contains(" started") }
    if line == nil { throw Failure("it did not start") }
  }

  /// How many lines have a message that begins so.
  func count(of message: String) -> Int {
    process.output.lines.count { $0.contains(message) && LogLine($0).message.hasPrefix(message) }
  }

  // MARK: Connections

  /// A client's connection and the one that the target accepted for it.
  func connect(to target: Target) throws -> (client: Peer, upstream: Peer) {
    let client = try connect()
    return (client, try target.accept())
  }

  /// As `connect(to:)`, and both ends have heard of each other: the daemon has seen its connect
  /// succeed, which is later than the target sees it.
  func connectAndTalk(to target: Target) throws -> (client: Peer, upstream: Peer) {
    let pair = try connect(to: target)
    try pingPong(pair.client, pair.upstream)
    return pair
  }

  func connect(over loopback: Loopback = .ipv4) throws -> Peer {
    try Peer(connectingTo: port, over: loopback)
  }

  /// For a daemon that does not say when it is ready.
  func connectAsSoonAsItListens() throws -> Peer {
    var client: Peer?
    try eventually("it listens") {
      client = try? connect()
      return client != nil
    }
    return client!
  }

  // MARK: End

  /// Ends it with SIGTERM, which must take no time and end in exit code 0.
  func stop() throws {
    process.send(SIGTERM)
    try expectExit(0)
  }

  func expectExit(_ code: Int32, within span: Duration = patience) throws {
    let ended = try process.waitForEnd(within: span)
    process.output.waitForEnd()
    process.errors.waitForEnd()
    if ended != .exit(code) { throw Failure("\(ended) instead of exit code \(code)") }
  }
}

/// Runs `body` beside a daemon that leads to `target`, then checks that the daemon holds no more
/// descriptors than before, ends it, and checks its exit code and that it had nothing to complain
/// of.
func withSidecar(
  to target: Target? = nil, transfer: Transfer? = nil, _ settings: [String: String] = [:],
  wrapper: [String] = [], _ body: (Sidecar) throws -> Void
) throws {
  // Two workers, whatever the machine: what they share is to be tried everywhere.
  var environment = ["WORKERS": "2"].merging(settings) { $1 }
  if let target {
    environment["TARGET_HOST"] = environment["TARGET_HOST"] ?? "127.0.0.1"
    environment["TARGET_PORT"] = String(target.port)
  }
  environment["SIDECAR_TRANSFER"] = transfer?.rawValue
  let sidecar = try Sidecar(environment, wrapper: wrapper)
  defer { sidecar.process.kill() }
  do {
    try sidecar.waitUntilStarted()
    let before = try sidecar.process.openDescriptors()
    try body(sidecar)
    if !sidecar.process.hasEnded {
      try eventually("descriptors back to \(before)") {
        try sidecar.process.openDescriptors() == before
      }
      try sidecar.stop()
    }
    if !sidecar.process.errors.lines.isEmpty { throw Failure("it wrote to standard error") }
  } catch {
    let said = sidecar.process.output.lines.suffix(20) + sidecar.process.errors.lines
    throw Failure(
      "\(error)\nthe daemon \(sidecar.process.state); its last lines:\n"
        + said.joined(separator: "\n"))
  }
}

/// A command that makes the daemon an ordinary user's, for tests that run as root.
var unprivileged: [String] {
  getuid() == 0 ? ["/usr/bin/setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"] : []
}

/// The program under test.
enum Binary {
  /// SIDECAR_BINARY, or what `make` leaves in this package.
  static func path() throws -> String {
    let chosen = ProcessInfo.processInfo.environment["SIDECAR_BINARY"] ?? ""
    let path = chosen.isEmpty ? packageRoot + "/.build/sidecar" : chosen
    guard access(path, X_OK) == 0 else {
      throw Failure("no program at \(path): run `make` first, or set SIDECAR_BINARY")
    }
    return path
  }

  /// A copy that every user may run, wherever the package lies. Another program writes it: a child
  /// that another test starts meanwhile would hold the file open for writing, if this program had
  /// it so, and what is being written cannot be executed (ETXTBSY).
  static func publicPath() throws -> String {
    let original = try path()
    let copy = "/tmp/sidecar-under-test-\(getpid())-\(UUID().uuidString)"
    try run("install", "-m", "755", original, copy)
    return copy
  }

  private static var packageRoot: String {
    var folder = URL(fileURLWithPath: #filePath)
    for _ in 0..<4 { folder.deleteLastPathComponent() }
    return folder.path
  }
}
