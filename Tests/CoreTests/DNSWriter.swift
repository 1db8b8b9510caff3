// Writes DNS messages as name servers do, and as none should. Owns the bytes alone: what they mean
// to a lookup is for the tests to say.
@testable import Core

/// A message as it is written, section by section. Made right, then bent by a test.
struct DNSWriter {
  var id: UInt16 = 0x5a17
  /// A recursive answer: QR, RD, RA.
  var flags: UInt16 = 0x8180
  var questions: [Question] = []
  var answers: [Record] = []
  var authorities: [Record] = []
  var additionals: [Record] = []
  /// Writes each name as a pointer to where it, or its end, has been written before.
  var compresses = true
  /// In place of the true numbers of questions, answers, authorities and additionals.
  var counts: [UInt16]?

  struct Question {
    var name: Name
    var type: UInt16
    var recordClass: UInt16 = 1
  }

  struct Record {
    var owner: Name
    var type: UInt16
    var recordClass: UInt16 = 1
    var ttl: UInt32 = 60
    var data: [Part] = []
    /// In place of the true length of the data.
    var length: UInt16?
  }

  enum Part {
    case bytes([UInt8])
    case name(Name)
  }

  /// A name as text, or as the very bytes to write.
  enum Name: ExpressibleByStringLiteral {
    case text(String)
    case wire([UInt8])

    init(stringLiteral text: String) { self = .text(text) }

    static func pointer(to offset: Int) -> Name {
      .wire([0xc0 | UInt8(offset >> 8), UInt8(offset & 0xff)])
    }
  }

  static let flagAuthoritative: UInt16 = 0x0400
  static let flagTruncated: UInt16 = 0x0200
  static let flagRecursive: UInt16 = 0x0080

  /// An answer to `question`, without records.
  init(
    to question: DNSQuestion, id: UInt16 = 0x5a17, code: UInt16 = 0, answers: [Record] = [],
    authorities: [Record] = [], additionals: [Record] = []
  ) {
    self.id = id
    flags |= code
    questions = [Question(name: .text(question.name), type: question.family.recordType)]
    self.answers = answers
    self.authorities = authorities
    self.additionals = additionals
  }

  var bytes: [UInt8] {
    var message = Message(compresses: compresses)
    message.bytes.append(bigEndian: id)
    message.bytes.append(bigEndian: flags)
    let sections = [answers, authorities, additionals]
    for count in counts ?? ([questions.count] + sections.map(\.count)).map(UInt16.init) {
      message.bytes.append(bigEndian: count)
    }
    for question in questions {
      message.append(question.name)
      message.bytes.append(bigEndian: question.type)
      message.bytes.append(bigEndian: question.recordClass)
    }
    for record in sections.joined() { message.append(record) }
    return message.bytes
  }
}

extension DNSWriter.Name {
  static func text(_ bytes: [UInt8]) -> Self { .text(String(decoding: bytes, as: UTF8.self)) }
}

extension DNSWriter.Record {
  /// The octets in network order make up `bits`: 10.0.0.1 is 0x0a00_0001.
  static func a(_ owner: DNSWriter.Name, _ bits: UInt32, ttl: UInt32 = 60) -> Self {
    address(owner, IPAddress(ipv4: bits), ttl: ttl)
  }

  /// 2001:db8::`low`.
  static func aaaa(_ owner: DNSWriter.Name, _ low: UInt64, ttl: UInt32 = 60) -> Self {
    address(owner, ipv6(low), ttl: ttl)
  }

  /// A for an IPv4 address, AAAA for any other.
  static func address(_ owner: DNSWriter.Name, _ address: IPAddress, ttl: UInt32 = 60) -> Self {
    let octets = [address.high, address.low].flatMap { half in
      (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - 8 * $0)) }
    }
    return address.isIPv4
      ? Self(owner: owner, type: 1, ttl: ttl, data: [.bytes(Array(octets.suffix(4)))])
      : Self(owner: owner, type: 28, ttl: ttl, data: [.bytes(octets)])
  }

  static func cname(
    _ owner: DNSWriter.Name, _ target: DNSWriter.Name, ttl: UInt32 = 60
  ) -> Self {
    Self(owner: owner, type: 5, ttl: ttl, data: [.name(target)])
  }

  static func soa(_ owner: DNSWriter.Name, ttl: UInt32 = 900, minimum: UInt32 = 60) -> Self {
    var numbers: [UInt8] = []
    for number in [2026_01_01, 7200, 900, 1_209_600, minimum] as [UInt32] {
      numbers.append(bigEndian: UInt16(number >> 16))
      numbers.append(bigEndian: UInt16(number & 0xffff))
    }
    let parts: [DNSWriter.Part] = [.name("ns.example"), .name("hostmaster.example")]
    return Self(owner: owner, type: 6, ttl: ttl, data: parts + [.bytes(numbers)])
  }

  static func ns(_ owner: DNSWriter.Name, _ server: DNSWriter.Name) -> Self {
    Self(owner: owner, type: 2, data: [.name(server)])
  }

  /// The upper eight bits of a response code are what an OPT record adds to it.
  static func opt(extendedCode: UInt8 = 0) -> Self {
    Self(
      owner: .wire([0]), type: 41, recordClass: 1232, ttl: UInt32(extendedCode) << 24)
  }
}

/// The bytes so far, and where in them each name is.
private struct Message {
  var bytes: [UInt8] = []
  let compresses: Bool
  private var places: [String: Int] = [:]

  init(compresses: Bool) { self.compresses = compresses }

  mutating func append(_ name: DNSWriter.Name) {
    switch name {
    case .wire(let wire): bytes += wire
    case .text(let text): append(labels: text.split(separator: ".")[...])
    }
  }

  private mutating func append(labels: ArraySlice<Substring>) {
    guard let label = labels.first else { return bytes.append(0) }
    let name = labels.joined(separator: ".")
    if compresses, let place = places[name] {
      return append(DNSWriter.Name.pointer(to: place))
    }
    // A pointer has 14 bits.
    if bytes.count < 0x4000 { places[name] = bytes.count }
    bytes.append(UInt8(label.utf8.count))
    bytes += label.utf8
    append(labels: labels.dropFirst())
  }

  mutating func append(_ record: DNSWriter.Record) {
    append(record.owner)
    bytes.append(bigEndian: record.type)
    bytes.append(bigEndian: record.recordClass)
    bytes.append(bigEndian: UInt16(record.ttl >> 16))
    bytes.append(bigEndian: UInt16(record.ttl & 0xffff))
    let start = bytes.count
    bytes.append(bigEndian: 0)
    for part in record.data {
      switch part {
      case .bytes(let data): bytes += data
      case .name(let name): append(name)
      }
    }
    let length = record.length ?? UInt16(bytes.count - start - 2)
    bytes[start] = UInt8(length >> 8)
    bytes[start + 1] = UInt8(length & 0xff)
  }
}

/// 2001:db8::`low`.
func ipv6(_ low: UInt64) -> IPAddress { IPAddress(high: 0x2001_0db8_0000_0000, low: low) }
