// Text as bytes: the few helpers that messages, logs and parsers share. Bytes instead of `String`,
// because comparing or splitting a `String` brings the Unicode tables into the static build.

/// Takes bytes one after the other: an array, or the storage of a log line.
public protocol ByteSink {
  mutating func append(_ byte: UInt8)
  mutating func append(_ text: StaticString)
}

extension [UInt8]: ByteSink {
  @inline(never) public init(_ text: StaticString) {
    self.init()
    append(text)
  }

  /// In place of Array's own, which is inlined: a hundred bytes at each of some thirty places.
  @inline(never) public mutating func append(_ byte: UInt8) {
    withUnsafePointer(to: byte) {
      append(contentsOf: UnsafeBufferPointer(start: $0, count: 1))
    }
  }

  public mutating func append(_ text: StaticString) {
    text.withUTF8Buffer { append(contentsOf: $0) }
  }
}

extension ByteSink {
  /// Appends the digits of `decimal`, without a sign, separators or leading zeros.
  public mutating func append(decimal: UInt64) {
    let tenth = decimal.tenth
    if tenth > 0 { append(decimal: tenth) }
    append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: decimal &- tenth &* 10))
  }

  /// Appends `hex` in at least `width` lower-case digits.
  public mutating func append(hex: UInt64, width: Int) {
    if hex >= 16 || width > 1 { append(hex: hex >> 4, width: width - 1) }
    let digit = UInt8(hex & 15)
    append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
  }

  /// Appends `bytes` in double quotes, in printable ASCII whatever they are: \" \\ \n \t \xNN.
  @inline(never) public mutating func append(quoted bytes: ArraySlice<UInt8>) {
    append("\"")
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "\""): append("\\\"")
      case UInt8(ascii: "\\"): append("\\\\")
      case UInt8(ascii: "\n"): append("\\n")
      case UInt8(ascii: "\t"): append("\\t")
      case 0x20...0x7e: append(byte)
      case _:
        append("\\x")
        append(hex: UInt64(byte), width: 2)
      }
    }
    append("\"")
  }
}

extension Collection<UInt8> {
  /// True when both are the same but for the case of ASCII letters.
  public func equalsIgnoringCase(_ other: some Collection<UInt8>) -> Bool {
    count == other.count && zip(self, other).allSatisfy { $0.lowercasedASCII == $1.lowercasedASCII }
  }

  public func equals(_ text: StaticString) -> Bool {
    text.withUTF8Buffer { elementsEqual($0) }
  }
}

extension UInt64 {
  /// A tenth, rounded down. Built for size, `/` is the CPU's division, a third of what a log line
  /// costs; for 32 bits the product with 2^35 / 10, rounded up, is exact.
  var tenth: UInt64 { self >> 32 == 0 ? (self &* 0xcccc_cccd) >> 35 : self / 10 }
}

extension UInt8 {
  /// The lower-case letter for an ASCII capital, every other byte as it is.
  @inlinable public var lowercasedASCII: UInt8 {
    0x41 <= self && self <= 0x5a ? self | 0x20 : self
  }

  @inlinable public var isASCIIDigit: Bool { 0x30 <= self && self <= 0x39 }
}
