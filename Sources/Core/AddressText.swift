// IP addresses as text: strict in what is read (RFC 4291, section 2.2), one spelling in what is
// written (RFC 5952). Brackets, ports and zones are not part of an address: callers take them off.

extension IPAddress {
  /// Reads `192.0.2.1` (four decimal parts, no leading zeros), `2001:db8::1` or `::ffff:192.0.2.1`,
  /// which is the IPv4 address. Nil for everything else, brackets and zones included.
  public init?(_ text: ArraySlice<UInt8>) {
    guard text.contains(UInt8(ascii: ":")) else {
      guard let bits = ipv4Bits(text) else { return nil }
      self.init(ipv4: bits)
      return
    }
    guard let address = ipv6Address(text) else { return nil }
    self = address
  }

  public init?(_ text: [UInt8]) { self.init(text[...]) }
}

extension ByteSink {
  /// Appends the one spelling of RFC 5952; an IPv4 address, mapped or not, as a dotted quad.
  public mutating func append(_ address: IPAddress) {
    guard !address.isIPv4 else {
      for shift in [24, 16, 8, 0] {
        append(decimal: address.low >> UInt64(shift) & 0xff)
        if shift > 0 { append(".") }
      }
      return
    }
    let gap = address.longestZeroRun
    var index = 0
    while index < 8 {
      if index == gap.lowerBound && !gap.isEmpty {
        append("::")
        index = gap.upperBound
      } else {
        if index > 0 && index != gap.upperBound { append(":") }
        append(hex: UInt64(address.group(index)), width: 1)
        index += 1
      }
    }
  }

  /// Appends `192.0.2.1:5432` or `[2001:db8::1]:5432`.
  public mutating func append(_ endpoint: Endpoint) {
    let isBracketed = !endpoint.address.isIPv4
    if isBracketed { append("[") }
    append(endpoint.address)
    append(isBracketed ? "]:" : ":")
    append(decimal: UInt64(endpoint.port))
  }
}

extension IPAddress {
  fileprivate func group(_ index: Int) -> UInt16 {
    UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64((3 - index & 3) * 16))
  }

  /// What `::` stands for: the first of the longest runs of zero groups, if longer than one group.
  fileprivate var longestZeroRun: Range<Int> {
    var longest = 0..<0
    var start = 0
    for index in 0..<8 {
      if group(index) != 0 {
        start = index + 1
      } else if index + 1 - start > max(longest.count, 1) {
        longest = start..<index + 1
      }
    }
    return longest
  }
}

private func ipv4Bits(_ text: ArraySlice<UInt8>) -> UInt32? {
  var bits: UInt32 = 0
  var rest = text
  for part in 0..<4 {
    let end = part < 3 ? rest.firstIndex(of: UInt8(ascii: ".")) : rest.endIndex
    guard let end, let octet = parseDecimal(rest[..<end]), octet <= 255 else { return nil }
    bits = bits << 8 | UInt32(octet)
    rest = part < 3 ? rest[(end + 1)...] : []
  }
  return bits
}

/// Groups of 16 bits of an IPv6 address, eight at most, the last in the lowest bits.
private struct Groups {
  var bits = IPAddress(high: 0, low: 0)
  var count = 0

  mutating func append(_ group: UInt16) {
    bits.high = bits.high << 16 | bits.low >> 48
    bits.low = bits.low << 16 | UInt64(group)
    count += 1
  }
}

/// An IPv6 address, `::` filled in.
private func ipv6Address(_ text: ArraySlice<UInt8>) -> IPAddress? {
  let colon = UInt8(ascii: ":")
  // Those before `::`, once that is found, and those after it.
  var head: Groups?
  var groups = Groups()
  var rest = text
  if rest.starts(with: [colon, colon]) {
    head = groups
    rest = rest.dropFirst(2)
  }
  while !rest.isEmpty {
    guard (head?.count ?? 0) + groups.count < 8 else { return nil }
    let end = rest.firstIndex(of: colon)
    let part = rest[..<(end ?? rest.endIndex)]
    if end == nil && part.contains(UInt8(ascii: ".")) {
      guard let bits = ipv4Bits(part) else { return nil }
      groups.append(UInt16(bits >> 16))
      groups.append(UInt16(bits & 0xffff))
      break
    }
    guard let group = parseHex(part) else { return nil }
    groups.append(group)
    guard let end else { break }
    rest = rest[(end + 1)...]
    guard let next = rest.first else { return nil }
    if next == colon {
      guard head == nil else { return nil }
      head = groups
      groups = Groups()
      rest = rest.dropFirst()
    }
  }
  guard var head else { return groups.count == 8 ? groups.bits : nil }
  // `::` stands for one group at least.
  guard head.count + groups.count < 8 else { return nil }
  while head.count < 8 { head.append(0) }
  return IPAddress(high: head.bits.high | groups.bits.high, low: head.bits.low | groups.bits.low)
}

/// One to four hexadecimal digits of either case.
private func parseHex(_ text: ArraySlice<UInt8>) -> UInt16? {
  guard 1...4 ~= text.count else { return nil }
  var value: UInt16 = 0
  for byte in text {
    switch byte.lowercasedASCII {
    case let digit where digit.isASCIIDigit: value = value << 4 | UInt16(digit - UInt8(ascii: "0"))
    case let letter where 0x61...0x66 ~= letter: value = value << 4 | UInt16(letter - 0x61 + 10)
    case _: return nil
    }
  }
  return value
}
