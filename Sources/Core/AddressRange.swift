// The ranges of addresses that mean something by themselves (RFC 6890). Bits only, no text.

extension IPAddress {
  /// 0.0.0.0 and ::, which say where to listen and never where to connect.
  public var isUnspecified: Bool { high == 0 && (low == 0 || low == ipv4Prefix) }

  /// 127.0.0.0/8 and ::1.
  public var isLoopback: Bool { isIPv4 ? ipv4Octet == 127 : high == 0 && low == 1 }

  /// 224.0.0.0/4 and ff00::/8; the broadcast address 255.255.255.255 too, which is no one host
  /// either.
  public var isMulticast: Bool {
    isIPv4 ? 224...239 ~= ipv4Octet || low == ipv4Prefix | 0xffff_ffff : high >> 56 == 0xff
  }

  /// fe80::/10: an address that needs a zone to be reached at. IPv4's 169.254.0.0/16 needs none.
  public var isIPv6LinkLocal: Bool { high >> 54 == 0xfe80 >> 6 }

  private var ipv4Prefix: UInt64 { 0xffff_0000_0000 }
  private var ipv4Octet: UInt64 { low >> 24 & 0xff }
}
