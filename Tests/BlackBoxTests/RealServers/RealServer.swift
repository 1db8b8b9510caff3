// What all real servers have in common: a data directory, a port, a process that ends with the
// test.
import Foundation

final class RealServer: Sendable {
  let port: UInt16
  let directory: ScratchDirectory
  let process: ChildProcess
  private let ending: Int32
  private let reserved: ReservedPort

  /// Prepares a directory that belongs to `user`, then starts the server in it, on a free port or
  /// on one that the caller keeps. `ending` is the signal that makes this kind of server end in
  /// order and at once. Without a `user` it runs as whoever runs the tests.
  init(
    user: String? = nil, ending: Int32, port chosen: ReservedPort? = nil,
    prepare: (ScratchDirectory) throws -> Void = { _ in },
    command: (ScratchDirectory, UInt16) throws -> [String]
  ) throws {
    directory = try ScratchDirectory()
    if let user { try directory.give(to: user) }
    try prepare(directory)
    reserved = try chosen ?? ReservedPort()
    port = reserved.number
    self.ending = ending
    // Longer than any test may take: only for the case that nobody is left to end it.
    var program = Program(try command(directory, port))
    if let user { program = program.asUser(user) }
    program = program.forAtMost(seconds: 170)
    program.output = directory.path("log")
    program.errors = program.output
    process = try program.start()
  }

  deinit { stop() }

  func stop() { process.end(with: ending) }

  var log: String {
    let content = FileManager.default.contents(atPath: directory.path("log")) ?? Data()
    return String(decoding: content, as: UTF8.self)
  }

  /// To the server itself, which is a child of timeout(1).
  func send(_ signal: Int32) throws {
    let children = try ProcessEntry.children(of: process.id)
    guard children.count == 1 else { throw Failure("\(children.count) processes, not one") }
    try checked("kill", Glibc.kill(children[0].id, signal))
  }

  /// Ends it as a loss of power would, and returns when it is gone.
  func kill() throws {
    try send(SIGKILL)
    _ = try process.waitForEnd()
  }

  /// Waits until `answer` no longer throws.
  func waitUntilReady(_ answer: () throws -> Void) throws {
    try eventually("the server answers\n\(tail(of: directory.path("log")))") {
      if process.hasEnded { throw Failure("the server ended\n\(tail(of: directory.path("log")))") }
      return (try? answer()) != nil
    }
  }
}

/// Runs `body` with a forwarder to a server's port, and checks what `withSidecar` checks.
func withForwarder<Result>(
  to port: UInt16, _ transfer: Transfer = .auto, _ settings: [String: String] = [:],
  _ body: (Sidecar) throws -> Result
) throws -> Result {
  var environment = settings
  environment["TARGET_HOST"] = "127.0.0.1"
  environment["TARGET_PORT"] = String(port)
  environment["LISTEN_HOST"] = "127.0.0.1"
  var result: Result?
  try withSidecar(transfer: transfer, environment) { result = try body($0) }
  return result!
}
