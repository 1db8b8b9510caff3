// Numbers and times out of text. One strict spelling each: what a person may have meant otherwise
// is for the fault to say, not for the parser to guess.

/// A decimal number of digits alone: no sign, no space, no leading zero. Nil beyond 64 bits.
public func parseDecimal(_ text: ArraySlice<UInt8>) -> UInt64? {
  guard let first = text.first, first != UInt8(ascii: "0") || text.count == 1 else { return nil }
  var value: UInt64 = 0
  for byte in text {
    guard byte.isASCIIDigit else { return nil }
    let (tens, tooLarge) = value.multipliedReportingOverflow(by: 10)
    let (sum, overflow) = tens.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
    guard !tooLarge && !overflow else { return nil }
    value = sum
  }
  return value
}

/// `500ms`, `5s`, `2m`, `1h`, or plain seconds. Nil for any other form, and beyond 64 bits.
public func parseDuration(_ text: ArraySlice<UInt8>) -> Nanoseconds? {
  let digits = text.prefix { $0.isASCIIDigit }
  let unit = text[digits.endIndex...]
  let nanoseconds: UInt64
  if unit.equals("ms") {
    nanoseconds = 1_000_000
  } else if unit.isEmpty || unit.equals("s") {
    nanoseconds = 1_000_000_000
  } else if unit.equals("m") {
    nanoseconds = 60_000_000_000
  } else if unit.equals("h") {
    nanoseconds = 3_600_000_000_000
  } else {
    return nil
  }
  guard let number = parseDecimal(digits) else { return nil }
  let (product, overflow) = number.multipliedReportingOverflow(by: nanoseconds)
  return overflow ? nil : Int64(exactly: product).map(Nanoseconds.init(count:))
}

/// What a file of the kernel's with one number holds, such as pipe-user-pages-soft or, negative
/// when there is no limit, cfs_quota_us. Spaces and line breaks around the number are not part of
/// it.
@inline(never) public func parseNumberFile(_ bytes: [UInt8]) -> Int64? {
  var text = trimSpaces(bytes[...])
  let isNegative = text.first == UInt8(ascii: "-")
  if isNegative { text = text.dropFirst() }
  guard let magnitude = parseDecimal(text).flatMap(Int64.init(exactly:)) else { return nil }
  return isNegative ? -magnitude : magnitude
}

/// `text` without the spaces, tabs and line breaks around it.
func trimSpaces(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
  var text = text
  while let first = text.first, first.isASCIISpace { text = text.dropFirst() }
  while let last = text.last, last.isASCIISpace { text = text.dropLast() }
  return text
}

/// Takes what stands before the next `separator` off the front of `text`, and the separator with
/// it. Nil at the end.
@inline(never) public func nextPart(
  _ text: inout ArraySlice<UInt8>, before separator: UInt8
) -> ArraySlice<UInt8>? {
  guard !text.isEmpty else { return nil }
  let part = text.prefix { $0 != separator }
  text = text[part.endIndex...].dropFirst()
  return part
}

/// Takes the next run of bytes that are not spaces off the front of `line`.
@inline(never) func nextField(_ line: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
  let field = line.drop { $0.isASCIISpace }.prefix { !$0.isASCIISpace }
  line = line[field.endIndex...]
  return field.isEmpty ? nil : field
}

extension UInt8 {
  var isASCIISpace: Bool { self == 0x20 || 0x09...0x0d ~= self }
}
