// One line of the log, as text for people or as JSON, built in storage that is kept for the next.
// Owns the format; which events there are and what they say is in Reports.swift. Must not write.

/// A line that is begun, given its fields in order, and ended. Each worker keeps one: once made it
/// allocates nothing, as long as nobody holds on to `bytes`.
///
/// However hostile what it reports, it is one line of printable ASCII and at most `limit` bytes:
/// what is longer is cut and marked with an ellipsis (a JSON line that lost fields is `truncated`).
public struct LogLine {
  /// A line with the longest names and addresses fits; a log buffer of 64 KiB holds 64 of them.
  public static let limit = 1_024

  /// What one text may take up, escapes included. Twice the longest host name, and the rest of the
  /// longest report still fits beside it.
  static let valueLimit = 512

  /// Kept free for a line's end: a quote, JSON's mark that fields were left out, and the newline.
  private static let endRoom = 20

  /// The line that was last ended, its newline included.
  public private(set) var bytes: [UInt8] = []

  private let format: LogFormat
  private var draft = LogBuffer()
  private var isCut = false

  public init(format: LogFormat) {
    self.format = format
    bytes.reserveCapacity(Self.limit)
  }

  @inline(never) public mutating func begin(
    _ level: LogLevel, at time: WallTime, _ message: StaticString
  ) {
    beginMessage(level, at: time)
    addToMessage(message)
    endMessage()
  }

  @inline(never) public mutating func add(_ key: StaticString, _ number: UInt64) {
    let start = beginField(key)
    draft.append(decimal: number)
    keepIfItFits(from: start)
  }

  @inline(never) public mutating func add(_ key: StaticString, _ endpoint: Endpoint) {
    let start = beginField(key)
    if format == .json { draft.append(UInt8(ascii: "\"")) }
    draft.append(endpoint)
    if format == .json { draft.append(UInt8(ascii: "\"")) }
    keepIfItFits(from: start)
  }

  @inline(never) public mutating func add(_ key: StaticString, _ text: StaticString) {
    text.withUTF8Buffer { add(key, bytes: $0) }
  }

  @inline(never) public mutating func add(_ key: StaticString, bytes value: [UInt8]) {
    value.withUnsafeBufferPointer { add(key, bytes: $0) }
  }

  @inline(never) public mutating func add(
    _ key: StaticString, bytes value: UnsafeBufferPointer<UInt8>
  ) {
    let start = beginField(key)
    let isQuoted = needsQuotes(value)
    if isQuoted { draft.append(UInt8(ascii: "\"")) }
    appendEscaped(value)
    if isQuoted { draft.append(UInt8(ascii: "\"")) }
    keepIfItFits(from: start)
  }

  /// Milliseconds with three decimals; what is less than a microsecond is cut off.
  @inline(never) public mutating func add(_ key: StaticString, milliseconds span: Nanoseconds) {
    let start = beginField(key)
    let microseconds = UInt64(max(span.count, 0)) / 1_000
    draft.append(decimal: microseconds / 1_000)
    draft.append(UInt8(ascii: "."))
    draft.append(digits: microseconds % 1_000, width: 3)
    keepIfItFits(from: start)
  }

  /// The target as it was configured, `db.example:5432`, with brackets around an IPv6 address.
  @inline(never) public mutating func add(_ key: StaticString, _ target: Target) {
    let start = beginField(key)
    target.host.withUnsafeBufferPointer { host in
      let isBracketed = host.contains(UInt8(ascii: ":"))
      let isQuoted = needsQuotes(host)
      if isQuoted { draft.append(UInt8(ascii: "\"")) }
      if isBracketed { draft.append("[") }
      appendEscaped(host)
      draft.append(isBracketed ? "]:" : ":")
      draft.append(decimal: UInt64(target.port))
      if isQuoted { draft.append(UInt8(ascii: "\"")) }
    }
    keepIfItFits(from: start)
  }

  @inline(never) public mutating func end() {
    switch format {
    case .text: draft.append(isCut ? " …\n" : "\n")
    case .json: draft.append(isCut ? ",\"truncated\":true}\n" : "}\n")
    }
    draft.copy(to: &bytes)
  }
}

// A message of several parts.
extension LogLine {
  @inline(never) mutating func beginMessage(_ level: LogLevel, at time: WallTime) {
    draft.cut(to: 0)
    isCut = false
    switch format {
    case .text:
      draft.append(time)
      switch level {
      case .error: draft.append(" error ")
      case .warn: draft.append(" warn  ")
      case .info: draft.append(" info  ")
      case .debug: draft.append(" debug ")
      }
    case .json:
      draft.append("{\"time\":\"")
      draft.append(time)
      draft.append("\",\"level\":\"")
      draft.append(level.name)
      draft.append("\",\"message\":\"")
    }
  }

  @inline(never) mutating func addToMessage(_ text: StaticString) {
    text.withUTF8Buffer { addToMessage($0) }
  }

  @inline(never) mutating func addToMessage(_ text: UnsafeBufferPointer<UInt8>) {
    let start = draft.count
    appendEscaped(text)
    keepIfItFits(from: start)
  }

  @inline(never) mutating func endMessage() {
    if format == .json { draft.append(UInt8(ascii: "\"")) }
  }
}

extension LogLine {
  /// Returns where the field begins.
  private mutating func beginField(_ key: StaticString) -> Int {
    let start = draft.count
    switch format {
    case .text:
      draft.append(UInt8(ascii: " "))
      draft.append(key)
      draft.append(UInt8(ascii: "="))
    case .json:
      draft.append(",\"")
      draft.append(key)
      draft.append("\":")
    }
    return start
  }

  /// After a field was left out all that follow are: a line is cut at its end, not in its middle.
  private mutating func keepIfItFits(from start: Int) {
    guard isCut || draft.count > Self.limit - Self.endRoom else { return }
    draft.cut(to: start)
    isCut = true
  }

  private func needsQuotes(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
    switch format {
    case .json: true
    case .text: value.isEmpty || value.count > Self.valueLimit || !value.allSatisfy { $0.isBare }
    }
  }

  /// Appends `value` as it stands between quotes. A byte that is no printable ASCII is \xNN in
  /// text, and in JSON \u00NN, as if it were Latin-1: nothing is lost or taken for an escape.
  private mutating func appendEscaped(_ value: UnsafeBufferPointer<UInt8>) {
    let end = draft.count + Self.valueLimit
    var rest = value[...]
    while true {
      let run = rest.prefix { $0.standsForItself }
      guard draft.count + run.count <= end else {
        draft.append(contentsOf: UnsafeBufferPointer(rebasing: run.prefix(end - draft.count)))
        return draft.append("…")
      }
      draft.append(contentsOf: UnsafeBufferPointer(rebasing: run))
      rest = rest[run.endIndex...]
      guard let byte = rest.popFirst() else { return }
      let start = draft.count
      appendEscape(byte)
      guard draft.count <= end else {
        draft.cut(to: start)
        return draft.append("…")
      }
    }
  }

  private mutating func appendEscape(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""): draft.append("\\\"")
    case UInt8(ascii: "\\"): draft.append("\\\\")
    case UInt8(ascii: "\n"): draft.append("\\n")
    case UInt8(ascii: "\t"): draft.append("\\t")
    case _:
      draft.append(format == .json ? "\\u00" : "\\x")
      draft.append(hex: UInt64(byte), width: 2)
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
    standsForItself && self != UInt8(ascii: " ") && self != UInt8(ascii: "=")
  }
}
