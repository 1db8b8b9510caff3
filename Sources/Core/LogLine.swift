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

  public private(set) var bytes: [UInt8]

  private let format: LogFormat
  private var isCut = false

  public init(format: LogFormat) {
    self.format = format
    bytes = []
    // A field is taken back after it turned out too long: there is room for one such.
    bytes.reserveCapacity(2 * Self.limit)
  }

  public mutating func begin(_ level: LogLevel, at time: WallTime, _ message: StaticString) {
    beginMessage(level, at: time)
    addToMessage(message)
    endMessage()
  }

  public mutating func add(_ key: StaticString, _ number: UInt64) {
    let start = beginField(key)
    bytes.append(decimal: number)
    endField(from: start)
  }

  public mutating func add(_ key: StaticString, _ endpoint: Endpoint) {
    let start = beginField(key)
    if format == .json { bytes.append("\"") }
    bytes.append(endpoint)
    if format == .json { bytes.append("\"") }
    endField(from: start)
  }

  public mutating func add(_ key: StaticString, _ text: StaticString) {
    text.withUTF8Buffer { add(key, bytes: $0) }
  }

  public mutating func add(_ key: StaticString, bytes value: [UInt8]) {
    value.withUnsafeBufferPointer { add(key, bytes: $0) }
  }

  public mutating func add(_ key: StaticString, bytes value: UnsafeBufferPointer<UInt8>) {
    let start = beginField(key)
    let isQuoted = needsQuotes(value)
    if isQuoted { bytes.append("\"") }
    appendEscaped(value)
    if isQuoted { bytes.append("\"") }
    endField(from: start)
  }

  /// Milliseconds with three decimals; what is less than a microsecond is cut off.
  public mutating func add(_ key: StaticString, milliseconds span: Nanoseconds) {
    let start = beginField(key)
    let microseconds = UInt64(max(span.count, 0)) / 1_000
    bytes.append(decimal: microseconds / 1_000)
    let decimals = microseconds % 1_000
    bytes.append(decimals < 10 ? ".00" : decimals < 100 ? ".0" : ".")
    bytes.append(decimal: decimals)
    endField(from: start)
  }

  /// The target as it was configured, `db.example:5432`, with brackets around an IPv6 address.
  public mutating func add(_ key: StaticString, _ target: Target) {
    let start = beginField(key)
    target.host.withUnsafeBufferPointer { host in
      let isBracketed = host.contains(UInt8(ascii: ":"))
      let isQuoted = needsQuotes(host)
      if isQuoted { bytes.append("\"") }
      if isBracketed { bytes.append("[") }
      appendEscaped(host)
      bytes.append(isBracketed ? "]:" : ":")
      bytes.append(decimal: UInt64(target.port))
      if isQuoted { bytes.append("\"") }
    }
    endField(from: start)
  }

  public mutating func end() {
    switch format {
    case .text: bytes.append(isCut ? " …\n" : "\n")
    case .json: bytes.append(isCut ? ",\"truncated\":true}\n" : "}\n")
    }
  }
}

// A message of several parts.
extension LogLine {
  mutating func beginMessage(_ level: LogLevel, at time: WallTime) {
    bytes.removeAll(keepingCapacity: true)
    isCut = false
    switch format {
    case .text:
      bytes.append(time)
      switch level {
      case .error: bytes.append(" error ")
      case .warn: bytes.append(" warn  ")
      case .info: bytes.append(" info  ")
      case .debug: bytes.append(" debug ")
      }
    case .json:
      bytes.append("{\"time\":\"")
      bytes.append(time)
      bytes.append("\",\"level\":\"")
      bytes.append(level.name)
      bytes.append("\",\"message\":\"")
    }
  }

  mutating func addToMessage(_ text: StaticString) {
    text.withUTF8Buffer { addToMessage($0) }
  }

  mutating func addToMessage(_ text: UnsafeBufferPointer<UInt8>) {
    let start = bytes.count
    appendEscaped(text)
    takeBackIfTooLong(from: start)
  }

  mutating func endMessage() {
    if format == .json { bytes.append("\"") }
  }
}

extension LogLine {
  /// Returns where the field begins.
  private mutating func beginField(_ key: StaticString) -> Int {
    let start = bytes.count
    switch format {
    case .text:
      bytes.append(" ")
      bytes.append(key)
      bytes.append("=")
    case .json:
      bytes.append(",\"")
      bytes.append(key)
      bytes.append("\":")
    }
    return start
  }

  private mutating func endField(from start: Int) {
    takeBackIfTooLong(from: start)
  }

  /// After a field was left out all that follow are: a line is cut at its end, not in its middle.
  private mutating func takeBackIfTooLong(from start: Int) {
    guard isCut || bytes.count > Self.limit - Self.endRoom else { return }
    bytes.removeLast(bytes.count - start)
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
    let end = bytes.count + Self.valueLimit
    var rest = value[...]
    while true {
      let run = rest.prefix { $0.standsForItself }
      guard bytes.count + run.count <= end else {
        bytes.append(contentsOf: UnsafeBufferPointer(rebasing: run.prefix(end - bytes.count)))
        return bytes.append("…")
      }
      bytes.append(contentsOf: UnsafeBufferPointer(rebasing: run))
      rest = rest[run.endIndex...]
      guard let byte = rest.popFirst() else { return }
      let start = bytes.count
      appendEscape(byte)
      guard bytes.count <= end else {
        bytes.removeLast(bytes.count - start)
        return bytes.append("…")
      }
    }
  }

  private mutating func appendEscape(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""): bytes.append("\\\"")
    case UInt8(ascii: "\\"): bytes.append("\\\\")
    case UInt8(ascii: "\n"): bytes.append("\\n")
    case UInt8(ascii: "\t"): bytes.append("\\t")
    case _:
      bytes.append(format == .json ? "\\u00" : "\\x")
      bytes.append(hex: UInt64(byte), width: 2)
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
