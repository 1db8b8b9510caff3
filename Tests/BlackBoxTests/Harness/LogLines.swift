// What the daemon says on standard output, line by line and taken apart.
import Foundation

/// One line of the text format: time, level, message, then key=value pairs.
struct LogLine: Sendable, CustomStringConvertible {
  let description: String
  let level: String
  let message: String
  private let fields: [String: String]

  init(_ line: String) {
    description = line
    let head = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true)
    level = head.count > 1 ? String(head[1]) : ""
    var words = Self.words(of: head.count > 2 ? head[2].drop { $0 == " " } : "")
    let firstField = words.firstIndex { $0.contains("=") && !$0.hasPrefix("=") } ?? words.endIndex
    message = words[..<firstField].joined(separator: " ")
    words.removeFirst(firstField)
    fields = words.reduce(into: [:]) { fields, word in
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count == 2 { fields[String(parts[0])] = Self.unquoted(parts[1]) }
    }
  }

  subscript(key: String) -> String? { fields[key] }
  func number(_ key: String) -> Double? { fields[key].flatMap(Double.init) }

  /// Splits at spaces outside quotation marks.
  private static func words(of text: Substring) -> [String] {
    var words = [""]
    var isQuoted = false
    var isEscaped = false
    for character in text {
      if character == " " && !isQuoted {
        words.append("")
        continue
      }
      if character == "\"" && !isEscaped { isQuoted.toggle() }
      isEscaped = character == "\\" && !isEscaped
      words[words.count - 1].append(character)
    }
    return words.filter { !$0.isEmpty }
  }

  private static func unquoted(_ value: Substring) -> String {
    guard value.hasPrefix("\"") && value.hasSuffix("\"") && value.count > 1 else {
      return String(value)
    }
    return value.dropFirst().dropLast().replacingOccurrences(of: "\\\"", with: "\"")
      .replacingOccurrences(of: "\\\\", with: "\\")
  }
}

/// Collects the lines of a pipe on a thread of its own, until the writer closes it.
final class LineReader: @unchecked Sendable {
  private enum Mode { case reading, paused, hangingUp }

  private let descriptor: Int32
  private let condition = NSCondition()
  private var collected: [String] = []
  private var hasEnded = false
  private var mode = Mode.reading

  /// Owns `descriptor`.
  init(_ descriptor: Int32) {
    self.descriptor = descriptor
    Thread { [self] in readAll() }.start()
  }

  var lines: [String] { condition.withLock { collected } }
  var text: String { lines.joined(separator: "\n") }

  /// Reads no more, so that the pipe fills up. A read under way is still finished.
  func pause() { change(to: .paused) }
  func resume() { change(to: .reading) }
  /// Closes the pipe: what the daemon writes has no reader. A read under way is still finished.
  func hangUp() { change(to: .hangingUp) }

  private func change(to new: Mode) {
    condition.withLock {
      mode = new
      condition.broadcast()
    }
  }

  /// The first line, from `start` on, that `matches`; nil when the writer is gone or time is up.
  func first(
    from start: Int = 0, within span: Duration = patience, where matches: (String) -> Bool
  ) -> String? {
    let deadline = Deadline(after: span)
    var next = start
    return condition.withLock {
      while true {
        while next < collected.count {
          if matches(collected[next]) { return collected[next] }
          next += 1
        }
        if hasEnded || !condition.wait(until: deadline.asDate) { return nil }
      }
    }
  }

  /// Waits until the writer has closed the pipe.
  func waitForEnd() { _ = first { _ in false } }

  private func readAll() {
    var rest: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let mayRead = condition.withLock {
        while mode == .paused { condition.wait() }
        return mode == .reading
      }
      if !mayRead { break }
      let count = read(descriptor, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { break }
      rest += buffer[..<count]
      var complete: [String] = []
      while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
        complete.append(String(decoding: rest[..<end], as: UTF8.self))
        rest.removeSubrange(...end)
      }
      condition.withLock {
        collected += complete
        condition.broadcast()
      }
    }
    condition.withLock {
      if !rest.isEmpty { collected.append(String(decoding: rest, as: UTF8.self)) }
      hasEnded = true
      condition.broadcast()
    }
    close(descriptor)
  }
}
