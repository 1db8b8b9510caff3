// One line of the log, as text for people or as JSON, built in storage that is kept for the next.
// Owns the format; which events there are and what they say is in Reports.swift. Must not write.

/// A line that is begun, given its fields in order, and ended. Each worker keeps one: after the first
/// line it allocates nothing, as long as nobody holds on to `bytes`.
///
/// However hostile what it reports, it is one line of printable ASCII and at most `limit` bytes: what
/// is longer is cut and marked with an ellipsis (in JSON a line that lost fields says `truncated`).
public struct LogLine {
  /// A line with the longest names and addresses fits; a log buffer of 64 KiB holds 64 of them.
  public static let limit = 1_024

  /// What one text may take up, escapes included. Twice the longest host name, and the rest of the
  /// longest report still fits beside it.
  static let valueLimit = 512

  /// Kept free for the end of a line: the longer of the two marks that it was cut, and what closes it.
  private static let endRoom = 19

  /// The line that was last ended, its newline included.
  public private(set) var bytes: [UInt8] = []

  private let format: LogFormat
  private var text = LogBuffer()
  private var isCut = false

  public init(format: LogFormat) {
    self.format = format
    bytes.reserveCapacity(Self.limit)
  }

  public mutating func begin(_ level: LogLevel, at time: WallTime, _ message: StaticString) {
    beginMessage(level, at: time)
    addToMessage(message)
    endMessage()
  }

  public mutating func add(_ key: StaticString, _ number: UInt64) {
    let start = beginField(key)
    text.append(decimal: number)
    endField(from: start)
  }

  public mutating func add(_ key: StaticString, _ endpoint: Endpoint) {
    let start = beginField(key)
    if format == .json { text.append(UInt8(ascii: "\"")) }
    text.append(endpoint)
    if format == .json { text.append(UInt8(ascii: "\"")) }
    endField(from: start)
  }

  public mutating func add(_ key: StaticString, _ words: StaticString) {
    words.withUTF8Buffer { add(key, bytes: $0) }
  }

  public mutating func add(_ key: StaticString, bytes value: [UInt8]) {
    value.withUnsafeBufferPointer { add(key, bytes: $0) }
  }

  public mutating func add(_ key: StaticString, bytes value: UnsafeBufferPointer<UInt8>) {
    let start = beginField(key)
    let isQuoted = needsQuotes(value)
    if isQuoted { text.append(UInt8(ascii: "\"")) }
    appendEscaped(value)
    if isQuoted { text.append(UInt8(ascii: "\"")) }
    endField(from: start)
  }

  /// Milliseconds with three decimals; what is less than a microsecond is cut off.
  public mutating func add(_ key: StaticString, milliseconds span: Nanoseconds) {
    let start = beginField(key)
    let microseconds = UInt64(max(span.count, 0)) / 1_000
    text.append(decimal: microseconds / 1_000)
    text.append(UInt8(ascii: "."))
    text.append(digits: microseconds % 1_000, width: 3)
    endField(from: start)
  }

  /// The target as it was configured, `db.example:5432`, with brackets around an IPv6 address.
  public mutating func add(_ key: StaticString, _ target: Target) {
    let start = beginField(key)
    target.host.withUnsafeBufferPointer { host in
      let isBracketed = host.contains(UInt8(ascii: ":"))
      let isQuoted = needsQuotes(host)
      if isQuoted { text.append(UInt8(ascii: "\"")) }
      if isBracketed { text.append("[") }
      appendEscaped(host)
      text.append(isBracketed ? "]:" : ":")
      text.append(decimal: UInt64(target.port))
      if isQuoted { text.append(UInt8(ascii: "\"")) }
    }
    endField(from: start)
  }

  public mutating func end() {
    switch format {
    case .text: text.append(isCut ? " …\n" : "\n")
    case .json: text.append(isCut ? ",\"truncated\":true}\n" : "}\n")
    }
    text.copy(to: &bytes)
  }
}

// A message of several parts.
extension LogLine {
  mutating func beginMessage(_ level: LogLevel, at time: WallTime) {
    text.cut(to: 0)
    isCut = false
    switch format {
    case .text:
      text.append(time)
      switch level {
      case .error: text.append(" error ")
      case .warn: text.append(" warn  ")
      case .info: text.append(" info  ")
      case .debug: text.append(" debug ")
      }
    case .json:
      text.append("{\"time\":\"")
      text.append(time)
      text.append("\",\"level\":\"")
      text.append(level.name)
      text.append("\",\"message\":\"")
    }
  }

  mutating func addToMessage(_ words: StaticString) {
    words.withUTF8Buffer { addToMessage($0) }
  }

  mutating func addToMessage(_ words: UnsafeBufferPointer<UInt8>) {
    let start = text.count
    appendEscaped(words)
    takeBackIfTooLong(from: start)
  }

  mutating func endMessage() {
    if format == .json { text.append(UInt8(ascii: "\"")) }
  }
}

extension LogLine {
  /// Returns where the field begins.
  private mutating func beginField(_ key: StaticString) -> Int {
    let start = text.count
    switch format {
    case .text:
      text.append(UInt8(ascii: " "))
      text.append(key)
      text.append(UInt8(ascii: "="))
    case .json:
      text.append(",\"")
      text.append(key)
      text.append("\":")
    }
    return start
  }

  private mutating func endField(from start: Int) {
    takeBackIfTooLong(from: start)
  }

  /// After a field was left out all that follow are: a line is cut at its end, not in its middle.
  private mutating func takeBackIfTooLong(from start: Int) {
    guard isCut || text.count > Self.limit - Self.endRoom else { return }
    text.cut(to: start)
    isCut = true
  }

  private func needsQuotes(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
    switch format {
    case .json: true
    case .text: value.isEmpty || value.count > Self.valueLimit || !value.allSatisfy { $0.isBare }
    }
  }

  /// Appends `value` as it stands between quotes. A byte that is no printable ASCII is \xNN in text, and
  /// in JSON \u00NN, as if it were Latin-1: nothing is lost, and nothing is taken for an escape.
  private mutating func appendEscaped(_ value: UnsafeBufferPointer<UInt8>) {
    let end = text.count + Self.valueLimit
    var rest = value[...]
    while true {
      let run = rest.prefix { $0.standsForItself }
      guard text.count + run.count <= end else {
        text.append(contentsOf: UnsafeBufferPointer(rebasing: run.prefix(end - text.count)))
        return text.append("…")
      }
      text.append(contentsOf: UnsafeBufferPointer(rebasing: run))
      rest = rest[run.endIndex...]
      guard let byte = rest.popFirst() else { return }
      let start = text.count
      appendEscape(byte)
      guard text.count <= end else {
        text.cut(to: start)
        return text.append("…")
      }
    }
  }

  private mutating func appendEscape(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""): text.append("\\\"")
    case UInt8(ascii: "\\"): text.append("\\\\")
    case UInt8(ascii: "\n"): text.append("\\n")
    case UInt8(ascii: "\t"): text.append("\\t")
    case _:
      text.append(format == .json ? "\\u00" : "\\x")
      text.append(hex: UInt64(byte), width: 2)
    }
  }
}

extension UInt8 {
  /// Printable ASCII that needs no escape between quotes.
  fileprivate var standsForItself: Bool {
    0x20...0x7e ~= self && self != UInt8(ascii: "\"") && self != UInt8(ascii: "\\")
  }

  /// May stand in a text value without quotes around it.
  fileprivate var isBare: Bool {
    0x21...0x7e ~= self && self != UInt8(ascii: "\"") && self != UInt8(ascii: "=")
  }
}
