// DNS questions, and the answers that are believed (RFC 1035). Owns what is asked and what an
// answer may come to; how an answer's bytes are read is in DNSReader.swift.

/// The address families in the order in which RFC 6724 prefers them.
public enum Family: Int, CaseIterable, Sendable {
  case ipv6, ipv4

  /// RFC 3596 (AAAA), RFC 1035 (A).
  var recordType: UInt16 {
    switch self {
    case .ipv4: 1
    case .ipv6: 28
    }
  }

  public var recordName: StaticString {
    switch self {
    case .ipv4: "A"
    case .ipv6: "AAAA"
    }
  }
}

/// What one name server is asked.
public struct DNSQuestion: Equatable, Sendable {
  /// In lower case, without the trailing dot, at most 253 bytes; labels of at most 63.
  public var name: [UInt8]
  public var family: Family

  public init(name: [UInt8], family: Family) {
    self.name = name
    self.family = family
  }

  /// What an answer by UDP may be long: it passes every network unfragmented (dnsflagday.net/2020).
  public static let datagramBytes: UInt16 = 1232

  /// The message that asks it, recursion desired. With `edns`, an OPT record allows answers of
  /// `datagramBytes` (RFC 6891); without, 512 bytes are the most that may come.
  public func message(id: UInt16, edns: Bool) -> [UInt8] {
    var message: [UInt8] = []
    message.append(bigEndian: id)
    message.append(bigEndian: 0x0100)  // RD
    message.append(bigEndian: 1)
    message.append(bigEndian: 0)
    message.append(bigEndian: 0)
    message.append(bigEndian: edns ? 1 : 0)
    message += wireName(name)
    message.append(bigEndian: family.recordType)
    message.append(bigEndian: DNSClass.internet)
    guard edns else { return message }
    message.append(0)  // the root's name
    message.append(bigEndian: DNSType.opt)
    message.append(bigEndian: Self.datagramBytes)
    message += [0, 0, 0, 0, 0, 0]  // extended code, version, flags, no options
    return message
  }
}

enum DNSType {
  static let cname: UInt16 = 5
  static let soa: UInt16 = 6
  static let opt: UInt16 = 41
}

enum DNSClass {
  static let internet: UInt16 = 1
}

/// What a message that came from a name server says to a question.
public enum DNSReply: Equatable, Sendable {
  /// Not an answer to this question: late, forged, or noise. Whoever asked waits on.
  case notOurs
  /// Too long for a datagram: to be asked again by TCP.
  case truncated
  /// Never empty; each address once, as they came. The time to live is the least along the chain
  /// of aliases, in seconds.
  case addresses([IPAddress], ttl: UInt32)
  /// The name exists, but has no address of this family (NODATA, RFC 2308, section 2.2).
  case noAddress(ttl: UInt32?)
  /// NXDOMAIN.
  case noName(ttl: UInt32?)
  /// This server is of no use for the question.
  case fault(ServerFault)
}

/// Why a name server's answer cannot be used.
public enum ServerFault: Equatable, Sendable {
  case formatError
  case serverFailure
  case notImplemented
  case refused
  /// Any other response code, extended ones (RFC 6891) included.
  case code(UInt16)
  /// It knows nothing itself and asks nobody else: a referral where an answer was wanted.
  case notRecursive
  /// What came cannot be read, or leads in a circle.
  case malformed

  init(code: UInt16) {
    switch code {
    case 1: self = .formatError
    case 2: self = .serverFailure
    case 4: self = .notImplemented
    case 5: self = .refused
    case _: self = .code(code)
    }
  }
}

/// The length of each label before it, and a zero for the root. The name is one that HostText.swift
/// or ResolvConf.swift let pass.
func wireName(_ name: [UInt8]) -> [UInt8] {
  var wire: [UInt8] = []
  wire.reserveCapacity(name.count + 2)
  var rest = name[...]
  while let label = nextPart(&rest, before: UInt8(ascii: ".")) {
    wire.append(UInt8(label.count))
    wire += label
  }
  wire.append(0)
  return wire
}

extension [UInt8] {
  mutating func append(bigEndian value: UInt16) {
    append(UInt8(value >> 8))
    append(UInt8(value & 0xff))
  }
}
