// Text as bytes: the few helpers that messages, logs and parsers share. Bytes instead of `String`,
// because comparing or splitting a `String` brings the Unicode tables into the static build.

extension [UInt8] {
  public init(_ text: StaticString) {
    self.init()
    append(text)
  }

  public mutating func append(_ text: StaticString) {
    text.withUTF8Buffer { append(contentsOf: $0) }
  }

  /// Appends the digits of `decimal`, without a sign, separators or leading zeros.
  public mutating func append(decimal: UInt64) {
    if decimal >= 10 { append(decimal: decimal / 10) }
    append(UInt8(ascii: "0") + UInt8(decimal % 10))
  }

  /// Appends `hex` in at least `width` lower-case digits.
  public mutating func append(hex: UInt64, width: Int) {
    if hex >= 16 || width > 1 { append(hex: hex >> 4, width: width - 1) }
    let digit = UInt8(hex & 15)
    append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
  }

  /// Appends `bytes` in double quotes, in printable ASCII whatever they are: \" \\ \n \t \xNN.
  public mutating func append(quoted bytes: ArraySlice<UInt8>) {
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

extension UInt8 {
  /// The lower-case letter for an ASCII capital, every other byte as it is.
  @inlinable public var lowercasedASCII: UInt8 {
    0x41 <= self && self <= 0x5a ? self | 0x20 : self
  }

  @inlinable public var isASCIIDigit: Bool { 0x30 <= self && self <= 0x39 }
}
