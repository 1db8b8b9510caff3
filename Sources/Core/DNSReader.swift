// Reads what comes from a name server. Every byte of it may be a lie: each read is checked against
// the message's end, names are bounded, pointers only lead backwards.

/// Reads `message` as an answer to `question`, asked under `id`. `byTCP`: it cannot be truncated.
public func readReply(
  _ message: [UInt8], to question: DNSQuestion, id: UInt16, byTCP: Bool
) -> DNSReply {
  var reader = DNSReader(message)
  guard let header = reader.header(), header.id == id, header.isAnswer else { return .notOurs }
  // A server that could not read the question need not repeat it.
  let mayLackQuestion = header.code != 0 && header.code != 3
  switch header.questions {
  case 0 where mayLackQuestion: break
  case 1:
    guard let name = reader.name(), name == wireName(question.name),
      reader.number() == question.family.recordType, reader.number() == DNSClass.internet
    else { return .notOurs }
  case _: return .notOurs
  }
  if header.isTruncated { return byTCP ? .fault(.malformed) : .truncated }
  guard let records = reader.records(header, family: question.family) else {
    return .fault(.malformed)
  }
  let code = header.code | records.extendedCode
  switch code {
  case 0: return records.follow(from: wireName(question.name), header)
  case 3: return .noName(ttl: records.negativeTTL)
  case _: return .fault(ServerFault(code: code))
  }
}

private struct DNSHeader {
  var id: UInt16
  var flags: UInt16
  var questions: UInt16
  var answers: UInt16
  var authorities: UInt16
  var additionals: UInt16

  /// A response to a standard query (QR set, opcode 0).
  var isAnswer: Bool { flags & 0xf800 == 0x8000 }
  var isAuthoritative: Bool { flags & 0x0400 != 0 }
  var isTruncated: Bool { flags & 0x0200 != 0 }
  var isRecursive: Bool { flags & 0x0080 != 0 }
  var code: UInt16 { flags & 0xf }
}

/// The records that matter to a question for addresses.
private struct DNSRecords {
  struct Alias {
    var owner: [UInt8]
    var target: [UInt8]
    var ttl: UInt32
  }
  struct Address {
    var owner: [UInt8]
    var address: IPAddress
    var ttl: UInt32
  }

  /// Real chains have two or three steps; resolvers themselves stop between 8 and 20.
  static let maxChain = 16

  var aliases: [Alias] = []
  var addresses: [Address] = []
  var negativeTTL: UInt32?
  /// The upper eight bits of a response code, in place above the header's four (RFC 6891, section
  /// 6.1.3).
  var extendedCode: UInt16 = 0

  func follow(from name: [UInt8], _ header: DNSHeader) -> DNSReply {
    if aliases.isEmpty && addresses.isEmpty && negativeTTL == nil && header.answers == 0
      && !header.isAuthoritative && !header.isRecursive
    {
      return .fault(.notRecursive)
    }
    var owner = name
    var ttl = UInt32.max
    for _ in 0...Self.maxChain {
      let found = addresses.filter { $0.owner == owner }
      if !found.isEmpty {
        var unique: [IPAddress] = []
        for record in found {
          ttl = min(ttl, record.ttl)
          guard unique.count < HostsFile.maxAddresses, !unique.contains(record.address) else {
            continue
          }
          unique.append(record.address)
        }
        return .addresses(unique, ttl: ttl)
      }
      guard let alias = aliases.first(where: { $0.owner == owner }) else {
        // Addresses of somebody else alone do not say that this name has none.
        return addresses.isEmpty ? .noAddress(ttl: negativeTTL) : .fault(.malformed)
      }
      ttl = min(ttl, alias.ttl)
      owner = alias.target
    }
    return .fault(.malformed)
  }
}

private struct DNSReader {
  /// RFC 1035, section 2.3.4.
  static let maxNameBytes = 255
  /// In one name: it has no more labels, and each needs one at most. Without a bound, one message
  /// could hold thousands of names of thousands of pointers each.
  static let maxPointers = 127

  private let message: [UInt8]
  private var offset = 0

  init(_ message: [UInt8]) { self.message = message }

  mutating func byte() -> UInt8? {
    guard offset < message.count else { return nil }
    defer { offset += 1 }
    return message[offset]
  }

  mutating func number() -> UInt16? {
    guard let high = byte(), let low = byte() else { return nil }
    return UInt16(high) << 8 | UInt16(low)
  }

  mutating func longNumber() -> UInt32? {
    guard let high = number(), let low = number() else { return nil }
    return UInt32(high) << 16 | UInt32(low)
  }

  mutating func header() -> DNSHeader? {
    guard let id = number(), let flags = number(), let questions = number(),
      let answers = number(), let authorities = number(), let additionals = number()
    else { return nil }
    return DNSHeader(
      id: id, flags: flags, questions: questions, answers: answers, authorities: authorities,
      additionals: additionals)
  }

  /// A name in wire form, in lower case, with pointers followed (RFC 1035, section 4.1.4). A
  /// pointer must lead before the place that the name, or its last pointer, began at: none loops.
  mutating func name() -> [UInt8]? {
    var name: [UInt8] = []
    var lowest = offset
    var end: Int?
    var pointers = 0
    while let length = byte() {
      switch length {
      case 0:
        name.append(0)
        if let end { offset = end }
        return name
      case 1...63:
        guard name.count + Int(length) + 2 <= Self.maxNameBytes else { return nil }
        name.append(length)
        for _ in 0..<length {
          guard let letter = byte() else { return nil }
          name.append(letter.lowercasedASCII)
        }
      case 0xc0...:
        guard let low = byte() else { return nil }
        end = end ?? offset
        let target = Int(length & 0x3f) << 8 | Int(low)
        guard target < lowest, pointers < Self.maxPointers else { return nil }
        pointers += 1
        lowest = target
        offset = target
      case _: return nil
      }
    }
    return nil
  }

  /// All three sections. Nil when they cannot be read to their end, or name a record that breaks
  /// its own bounds.
  mutating func records(_ header: DNSHeader, family: Family) -> DNSRecords? {
    var records = DNSRecords()
    for _ in 0..<header.answers {
      guard readRecord({ $0.readAnswer($1, family, &records) }) else { return nil }
    }
    for _ in 0..<header.authorities {
      guard readRecord({ $0.readAuthority($1, &records) }) else { return nil }
    }
    for _ in 0..<header.additionals {
      guard readRecord({ $0.readAdditional($1, &records) }) else { return nil }
    }
    return records
  }

  private struct Record {
    var owner: [UInt8]
    var type: UInt16
    var recordClass: UInt16
    /// As it came: for OPT it is no time.
    var word: UInt32
    var length: Int

    /// In seconds. What has the highest bit set counts as zero (RFC 2181, section 8).
    var ttl: UInt32 { word >> 31 == 0 ? word : 0 }
  }

  /// One record; `read` takes what it wants from its data and says whether that is in order.
  @inline(never) private mutating func readRecord(_ read: (inout DNSReader, Record) -> Bool) -> Bool
  {
    guard let owner = name(), let type = number(), let recordClass = number(),
      let word = longNumber(), let length = number()
    else { return false }
    let end = offset + Int(length)
    guard end <= message.count else { return false }
    let record = Record(
      owner: owner, type: type, recordClass: recordClass, word: word, length: Int(length))
    guard read(&self, record), offset <= end else { return false }
    offset = end
    return true
  }

  private mutating func readAnswer(
    _ record: Record, _ family: Family, _ records: inout DNSRecords
  ) -> Bool {
    guard record.recordClass == DNSClass.internet else { return true }
    if record.type == DNSType.cname {
      guard let target = name() else { return false }
      records.aliases.append(.init(owner: record.owner, target: target, ttl: record.ttl))
    } else if record.type == family.recordType {
      guard let address = address(family, length: record.length) else { return false }
      // A name that is blocked often has 0.0.0.0 or ::, which would lead to this machine itself.
      guard !address.isUnspecified, !address.isMulticast else { return true }
      records.addresses.append(.init(owner: record.owner, address: address, ttl: record.ttl))
    }
    return true
  }

  private mutating func address(_ family: Family, length: Int) -> IPAddress? {
    switch family {
    case .ipv4:
      guard length == 4, let bits = longNumber() else { return nil }
      return IPAddress(ipv4: bits)
    case .ipv6:
      guard length == 16, let first = longNumber(), let second = longNumber(),
        let third = longNumber(), let fourth = longNumber()
      else { return nil }
      return IPAddress(
        high: UInt64(first) << 32 | UInt64(second), low: UInt64(third) << 32 | UInt64(fourth))
    }
  }

  /// SOA: how long it holds that something does not exist (RFC 2308, section 5).
  private mutating func readAuthority(_ record: Record, _ records: inout DNSRecords) -> Bool {
    guard record.type == DNSType.soa, record.recordClass == DNSClass.internet else { return true }
    guard name() != nil, name() != nil, longNumber() != nil, longNumber() != nil,
      longNumber() != nil, longNumber() != nil, let minimum = longNumber()
    else { return false }
    records.negativeTTL = min(record.ttl, minimum >> 31 == 0 ? minimum : 0)
    return true
  }

  private mutating func readAdditional(_ record: Record, _ records: inout DNSRecords) -> Bool {
    if record.type == DNSType.opt {
      records.extendedCode = UInt16(truncatingIfNeeded: record.word >> 24) << 4
    }
    return true
  }
}
