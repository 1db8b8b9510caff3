// Runs what real servers bring along: clients that end and the servers themselves. Their streams
// are files, since a dump has tens of MiB. Must not know what any program is for.
import Foundation

struct Program {
  private var command: [String]
  private var environment = ["PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
  var input = "/dev/null"
  var output: String?
  var errors: String?

  init(_ command: [String], environment: [String: String] = [:]) {
    self.command = command
    self.environment.merge(environment) { _, ours in ours }
  }

  /// The same program under an account of its own: database servers refuse to run as root. Tests
  /// that do not run as root cannot change accounts, and need not.
  func asUser(_ user: String) -> Program {
    if geteuid() != 0 { return self }
    return wrapped(in: ["setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups"])
  }

  /// The same program, ended by timeout(1) even if the tests themselves are killed.
  func forAtMost(seconds: Int) -> Program {
    wrapped(in: ["timeout", "--foreground", "--kill-after=5", "\(seconds)"])
  }

  private func wrapped(in wrapper: [String]) -> Program {
    var copy = self
    copy.command = wrapper + command
    return copy
  }

  /// Starts it. Both outputs may be one file; without a file they are collected line by line.
  func start() throws -> ChildProcess {
    var script = #"exec "$@" <"$INPUT""#
    var environment = environment
    environment["INPUT"] = input
    if let output {
      script += #" >"$OUTPUT""#
      environment["OUTPUT"] = output
    }
    if let errors {
      script += errors == output ? " 2>&1" : #" 2>"$ERRORS""#
      environment["ERRORS"] = errors
    }
    return try ChildProcess(["sh", "-c", script, "sh"] + command, environment: environment)
  }

  /// Runs it to its end and returns the lines that it printed; any exit code but 0 is thrown.
  @discardableResult
  func run(within limit: Duration = .seconds(60)) throws -> String {
    let child = try start()
    defer { child.kill() }
    let ended = try child.waitForEnd(within: limit)
    child.output.waitForEnd()
    child.errors.waitForEnd()
    guard ended == .exit(0) else {
      throw Failure("\(command.joined(separator: " ")): \(ended)\n\(child.errors.text)")
    }
    return child.output.text
  }
}

extension ChildProcess {
  /// Ends a server by the signal it asks for, and makes sure of it.
  func end(with signal: Int32) {
    send(signal)
    if (try? waitForEnd(within: .seconds(15))) == nil { kill() }
  }
}

/// The end of a log file: what a failing test has to show.
func tail(of path: String) -> String {
  let content = FileManager.default.contents(atPath: path) ?? Data()
  return String(decoding: content.suffix(2_000), as: UTF8.self)
}

/// In bytes; 0 for a file that is not there.
func sizeOfFile(_ path: String) -> Int {
  let attributes = try? FileManager.default.attributesOfItem(atPath: path)
  return attributes?[.size] as? Int ?? 0
}

/// A directory of a test's own, removed with everything in it when the test lets go of it.
final class ScratchDirectory: Sendable {
  let root: String

  init() throws {
    var template = Array("/tmp/sidecar-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw systemFailure("mkdtemp") }
    root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  func path(_ name: String) -> String { "\(root)/\(name)" }

  /// Gives the directory to the account that a server runs under.
  func give(to user: String) throws {
    if geteuid() != 0 { return }
    guard let account = getpwnam(user) else { throw Failure("there is no account \(user)") }
    try checked("chown", chown(root, account.pointee.pw_uid, account.pointee.pw_gid))
  }
}
