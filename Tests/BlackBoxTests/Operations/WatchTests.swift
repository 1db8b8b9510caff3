// `sidecar status --watch` in a real terminal of 80 columns and 24 rows.
import Foundation
import Testing

/// A terminal that nobody looks at: a tmux server of a test's own, ended with it.
private final class Terminal {
  private let directory: ScratchDirectory
  private let name = "sidecar-test"

  /// Runs `script` in it, lines for sh(1).
  init(_ script: String, columns: Int = 80, rows: Int = 24) throws {
    directory = try ScratchDirectory()
    let file = directory.path("script")
    try script.write(toFile: file, atomically: true, encoding: .utf8)
    try tmux(
      "-f", "/dev/null", "new-session", "-d", "-x", "\(columns)", "-y", "\(rows)",
      "exec sh \(file)")
  }

  deinit { _ = try? tmux("kill-server") }

  @discardableResult
  private func tmux(_ words: String...) throws -> String {
    try Program(
      ["tmux", "-L", name] + words,
      environment: [
        "TMUX_TMPDIR": directory.root, "TERM": "xterm", "LC_ALL": "C.UTF-8", "SHELL": "/bin/sh",
      ]
    ).run()
  }

  /// What is to be seen, line by line.
  func lines() throws -> [String] {
    try tmux("capture-pane", "-p").components(separatedBy: "\n")
  }

  func process() throws -> pid_t {
    pid_t(try tmux("display-message", "-p", "#{pane_pid}").prefix { $0.isNumber }) ?? 0
  }

  func resize(columns: Int, rows: Int) throws {
    try tmux("resize-window", "-x", "\(columns)", "-y", "\(rows)")
  }

  func type(_ key: String) throws { try tmux("send-keys", key) }

  func isCursorShown() throws -> Bool {
    try tmux("display-message", "-p", "#{cursor_flag}").hasPrefix("1")
  }

  /// It is closed, as when a connection to it is lost.
  func disappear() throws { try tmux("kill-pane") }
}

@Suite(.serialized, .timeLimit(.minutes(6)))
struct WatchTests {
  private func command(_ sidecar: Sidecar) throws -> String {
    let variables = sidecar.settings.map { "\($0.key)='\($0.value)'" }.sorted()
    let words = ["env"] + variables + [try Binary.path(), "status", "--watch"]
    return words.joined(separator: " ")
  }

  /// The row of the forward, without the numbers that change.
  private func waitForOpen(_ count: Int, _ terminal: Terminal) throws -> [String] {
    var lines: [String] = []
    try eventually("\(count) are shown as open:\n\(lines.joined(separator: "\n"))") {
      lines = try terminal.lines()
      guard lines.count > 3 else { return false }
      let words = lines[3].split(separator: " ")
      return words.count > 2 && words[2] == "\(count)"
    }
    return lines
  }

  private func expectShape(
    _ lines: [String], columns: Int, rows: Int, _ location: SourceLocation = #_sourceLocation
  ) {
    #expect(lines.count == rows, sourceLocation: location)
    #expect(lines.allSatisfy { $0.count <= columns }, sourceLocation: location)
    #expect(lines[0].hasPrefix("sidecar "), sourceLocation: location)
    #expect(lines[2].hasPrefix("LISTEN"), sourceLocation: location)
    #expect(lines[6].hasPrefix("connections 60/"), sourceLocation: location)
    #expect(lines[8].hasPrefix("CLIENT"), sourceLocation: location)
    for line in lines[9...] {
      #expect(line.hasPrefix("127.0.0.1:"), sourceLocation: location)
    }
  }

  @Test func itKeepsItsShapeAndRedrawsAndLeaves() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      var pairs = try (0..<59).map { _ in try sidecar.connectAndTalk(to: target) }
      let script = "trap : INT\n\(try command(sidecar))\necho left with $?\nexec sleep 50\n"
      let terminal = try Terminal(script)
      _ = try waitForOpen(59, terminal)
      pairs.append(try sidecar.connectAndTalk(to: target))
      expectShape(try waitForOpen(60, terminal), columns: 80, rows: 24)
      try terminal.resize(columns: 50, rows: 15)
      try eventually("it is drawn anew") {
        let lines = try terminal.lines()
        return lines.count == 15 && lines[0].hasPrefix("sidecar ")
      }
      expectShape(try terminal.lines(), columns: 50, rows: 15)
      #expect(try !terminal.isCursorShown())
      try terminal.type("C-c")
      try eventually("it leaves") { try terminal.lines().first == "left with 0" }
      #expect(try terminal.isCursorShown())
      for pair in pairs { pair.client.close() }
    }
  }

  @Test func aDaemonThatEndsIsSaidAndAnotherIsFound() throws {
    let target = try Target()
    let port = try ReservedPort()
    let settings = [
      "TARGET_HOST": "127.0.0.1", "TARGET_PORT": "\(target.port)",
      "LISTEN_PORT": "\(port.number)",
    ]
    let first = try Sidecar(settings)
    defer { first.process.kill() }
    try first.waitUntilStarted()
    let terminal = try Terminal("exec " + command(first))
    try eventually("it is shown") { try terminal.lines()[0].contains("  serving  ") }
    try first.stop()
    try eventually("its end is shown") {
      let lines = try terminal.lines()
      return lines[0].hasPrefix("no sidecar runs here") && lines[1...].allSatisfy { $0.isEmpty }
    }
    let second = try Sidecar(settings)
    defer { second.process.kill() }
    try eventually("the next is shown") { try terminal.lines()[0].contains("  serving  ") }
    try second.stop()
  }

  @Test func itEndsWithItsTerminal() throws {
    try withSidecar(["MODE": "sleep"]) { sidecar in
      let terminal = try Terminal("exec " + command(sidecar))
      try eventually("it is shown") { try terminal.lines()[0].contains("  asleep  ") }
      let process = try terminal.process()
      #expect(process > 1 && kill(process, 0) == 0)
      try terminal.disappear()
      try eventually("it has ended") { kill(process, 0) != 0 }
    }
  }

  @Test func itEndsWithThePipeThatItWritesTo() throws {
    try withSidecar(["MODE": "sleep"]) { sidecar in
      let watching = try ChildProcess(
        [try Binary.path(), "status", "--watch"], environment: sidecar.settings)
      defer { watching.kill() }
      _ = try #require(watching.output.first { $0.contains("  asleep  ") })
      watching.output.hangUp()
      #expect(try watching.waitForEnd() == .exit(1))
    }
  }
}
