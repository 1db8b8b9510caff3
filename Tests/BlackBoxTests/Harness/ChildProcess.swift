// Starts a program, collects what it prints, sends it signals, and knows how it ended. A child
// never outlives its test: `kill()` and `deinit` end it by its process id.
import Foundation

enum Ended: Equatable, Sendable {
  case exit(Int32)
  case signal(Int32)
}

final class ChildProcess: @unchecked Sendable {
  /// Where a standard stream of the child leads.
  enum Stream {
    case captured
    case closed
  }

  let id: pid_t
  let output: LineReader
  let errors: LineReader
  private let condition = NSCondition()
  private var ended: Ended?

  /// The child gets `environment` and nothing of ours, no descriptor but its standard ones, and
  /// every signal at its default.
  init(_ command: [String], environment: [String: String] = [:], streams: Stream = .captured) throws
  {
    let (outputEnd, outputWriter) = try Self.pipe()
    let (errorsEnd, errorsWriter) = try Self.pipe()
    defer {
      close(outputWriter)
      close(errorsWriter)
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    switch streams {
    case .captured:
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
      posix_spawn_file_actions_adddup2(&actions, outputWriter, 1)
      posix_spawn_file_actions_adddup2(&actions, errorsWriter, 2)
      _ = closeDescriptors(&actions, 3)
    case .closed:
      _ = closeDescriptors(&actions, 0)
    }
    id = try Self.spawn(command, environment, &actions)
    output = LineReader(outputEnd)
    errors = LineReader(errorsEnd)
    Thread { [self] in awaitEnd() }.start()
  }

  deinit { kill() }

  /// In words, for reports.
  var state: String { condition.withLock { ended.map { "has ended by \($0)" } ?? "runs" } }

  var hasEnded: Bool { condition.withLock { ended != nil } }

  /// Sends `signal`, unless the process has ended and its id may be another's.
  func send(_ signal: Int32) {
    condition.withLock { if ended == nil { _ = Glibc.kill(id, signal) } }
  }

  func kill() { send(SIGKILL) }

  func waitForEnd(within span: Duration = patience) throws -> Ended {
    let deadline = Deadline(after: span)
    return try condition.withLock {
      while ended == nil {
        guard condition.wait(until: deadline.asDate) || ended != nil else {
          throw Failure("process \(id) still runs after \(span)")
        }
      }
      return ended!
    }
  }

  /// waitid(2) leaves the process id taken until `ended` is set, so `send` never hits a stranger.
  private func awaitEnd() {
    var information = siginfo_t()
    while waitid(P_PID, id_t(id), &information, WEXITED | WNOWAIT) < 0 && errno == EINTR {}
    condition.withLock {
      var status: Int32 = 0
      while waitpid(id, &status, 0) < 0 && errno == EINTR {}
      ended = status & 0x7f == 0 ? .exit((status >> 8) & 0xff) : .signal(status & 0x7f)
      condition.broadcast()
    }
  }

  private static func pipe() throws -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [-1, -1]
    try checked("pipe", Glibc.pipe(&ends))
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }

  private static func spawn(
    _ command: [String], _ environment: [String: String],
    _ actions: inout posix_spawn_file_actions_t
  ) throws -> pid_t {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETSIGMASK))
    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    var variables: [UnsafeMutablePointer<CChar>?] =
      environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for pointer in arguments + variables { free(pointer) } }
    var id: pid_t = 0
    let error = posix_spawnp(&id, command[0], &actions, &attributes, &arguments, &variables)
    guard error == 0 else {
      throw Failure("cannot start \(command[0]): \(String(cString: strerror(error)))")
    }
    return id
  }
}

/// Closes all descriptors from the given one on. In glibc since 2.34, but Swift's Glibc module
/// shows no GNU extensions.
private let closeDescriptors:
  @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32 =
    unsafeBitCast(
      dlsym(nil, "posix_spawn_file_actions_addclosefrom_np"),
      to: (@convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32).self)

/// Runs a helper program to its end and returns what it printed.
@discardableResult
func run(_ command: String...) throws -> String {
  let path = ["PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
  let child = try ChildProcess(command, environment: path)
  let ended = try child.waitForEnd()
  child.output.waitForEnd()
  if ended != .exit(0) {
    child.errors.waitForEnd()
    throw Failure("\(command.joined(separator: " ")): \(ended): \(child.errors.text)")
  }
  return child.output.text
}
