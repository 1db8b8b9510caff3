// How figures are taken and shown. Each is printed, so that the log of a test run is also a table
// of what the program costs.
import Foundation

/// Prints `figure: name = value unit (goal …)`.
func figure(_ name: String, _ value: Double, _ unit: String, goal: String = "none") {
  let shown = value == value.rounded() ? String(Int(value)) : String(format: "%.3g", value)
  print("figure: \(name) = \(shown) \(unit) (goal \(goal))")
}

extension Duration {
  var inMilliseconds: Double { self / .milliseconds(1) }
}

extension [Duration] {
  var median: Duration { sorted()[count / 2] }
}

/// The system calls of a process, as strace(1) wrote them down.
///
/// `strace -D` makes itself a descendant of what it traces: the daemon keeps the process id that it
/// was started with, and no privilege is needed. Every line is flushed as its call ends or blocks.
struct Trace {
  private let directory: ScratchDirectory
  let wrapper: [String]

  init() throws {
    directory = try ScratchDirectory()
    wrapper = ["strace", "-D", "-f", "-ttt", "-o", directory.path("calls")]
  }

  /// One call as it began: seconds since 1970, and its line from the call's name on.
  struct Call {
    let time: Double
    let line: Substring
    var name: String { String(line.prefix { $0 != "(" }) }
  }

  func calls() throws -> [Call] {
    try String(contentsOfFile: directory.path("calls"), encoding: .utf8)
      .split(separator: "\n").compactMap { line in
        let parts = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true)
        // Not calls: `<... read resumed>`, `--- SIGTERM …`, `+++ exited …`.
        guard parts.count == 3, parts[2].first!.isLetter, let time = Double(parts[1])
        else { return nil }
        return Call(time: time, line: parts[2])
      }
  }

  /// The calls that begin while `body` runs.
  func calls(during body: () throws -> Void) throws -> [Call] {
    let start = Date().timeIntervalSince1970
    try body()
    let end = Date().timeIntervalSince1970
    return try calls().filter { $0.time >= start && $0.time < end }
  }
}

extension [Trace.Call] {
  /// `epoll_pwait 2000, recvfrom 1000`: the most frequent first.
  var summary: String {
    let counts = Dictionary(grouping: self) { $0.name }.mapValues { $0.count }
    let sorted = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    return sorted.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
  }
}
