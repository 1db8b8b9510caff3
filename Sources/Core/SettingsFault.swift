// What is wrong with the configuration, in words for the person who wrote it. Nothing here may show
// a secret: a URL with a password in it is the likeliest mistake of all.

/// Everything that is wrong, in the order of the variables in SettingsParser.swift.
public struct SettingsFaults: Error, Equatable, Sendable {
  public var faults: [SettingsFault]
}

public struct SettingsFault: Equatable, Sendable {
  public let variable: StaticString
  /// The entry that is wrong where the variable is a list, counted from 1.
  public let entry: Int?
  /// What is there, fit to be shown: without user names, passwords and parameters. Nil if nothing
  /// is, or if what is there is not what is wrong.
  public let value: [UInt8]?
  /// What should be there, in a sentence that begins with "expected".
  public let expected: [UInt8]

  init(_ variable: StaticString, entry: Int? = nil, value: [UInt8]?, expected: [UInt8]) {
    self.variable = variable
    self.entry = entry
    self.value = value.map { redacted($0[...], isEntry: entry != nil) }
    self.expected = expected
  }

  /// For people, printable ASCII without a line break: `TARGET_PORT="08080": expected …`,
  /// `FORWARDS entry 2 "5432=db": expected …` or `TARGET_HOST: expected …`.
  @inline(never) public var line: [UInt8] {
    /// Enough of a value to recognize it by.
    let shownBytes = 80
    var line = [UInt8](variable)
    if let entry {
      line.append(" entry ")
      line.append(decimal: UInt64(entry))
    }
    if let value {
      line.append(entry == nil ? "=" : " ")
      line.append(quoted: value.prefix(shownBytes))
      if value.count > shownBytes { line.append("...") }
    }
    line.append(": ")
    line += expected
    return line
  }

  public static func == (left: SettingsFault, right: SettingsFault) -> Bool {
    left.line == right.line
  }
}

/// `text` up to the end of the host in it, without what stands before an `@`.
private func redacted(_ text: ArraySlice<UInt8>, isEntry: Bool) -> [UInt8] {
  var shown: [UInt8] = []
  var rest = text
  let number = text.drop { $0.isASCIISpace }.prefix { $0.isASCIIDigit }
  if isEntry, text[number.endIndex...].first == UInt8(ascii: "=") {
    shown += text[...number.endIndex]
    rest = text[(number.endIndex + 1)...]
  }
  let scheme = rest.prefix { 0x61...0x7a ~= $0.lowercasedASCII || $0 == UInt8(ascii: "+") }
  if let start = index(after: "://", in: rest), start == scheme.endIndex + 3 {
    shown += rest[..<start]
    rest = rest[start...]
  }
  if let at = rest.lastIndex(of: UInt8(ascii: "@")) {
    shown.append("***")
    // With an `@` in parameters, what follows it may be the secret and not the host.
    guard !rest[..<at].contains(where: { $0.endsHost }) else { return shown }
    rest = rest[at...]
  }
  // Spaces at either end are themselves the fault, and say nothing else.
  let inner = trimSpaces(rest)
  let end = inner.firstIndex(where: { $0.endsHost }) ?? rest.endIndex
  shown += rest[..<end]
  if end < rest.endIndex { shown.append("...") }
  return shown
}
