// DNS messages as a test's name server reads and writes them (RFC 1035), the false ones included.
// Shares nothing with the daemon, so that a mistake is not made on both sides.
import Foundation

enum RecordType: UInt16, Sendable {
  case a = 1
  case cname = 5
  case soa = 6
  case aaaa = 28
}

/// What the daemon asked, and how.
struct Question: Sendable, CustomStringConvertible {
  enum Transport: Sendable { case udp, tcp }

  let id: UInt16
  let name: String
  let type: RecordType
  /// Whether it brought an OPT record (RFC 6891).
  let hasEDNS: Bool
  let transport: Transport
  /// The address that was asked.
  let server: Loopback
  /// The port that it came from.
  let port: UInt16
  let time = ContinuousClock.now

  var description: String { "\(type) \(name) at \(server.rawValue) by \(transport)" }

  /// Nil for what is no question at all.
  init?(_ message: [UInt8], by transport: Transport, at server: Loopback, from port: UInt16) {
    guard message.count > 12, message[2] & 0xf8 == 0, message[4...5].elementsEqual([0, 1])
    else { return nil }
    id = UInt16(message[0]) << 8 | UInt16(message[1])
    hasEDNS = message[11] == 1
    var labels: [String] = []
    var offset = 12
    while offset < message.count, message[offset] > 0 {
      let end = offset + 1 + Int(message[offset])
      guard end < message.count else { return nil }
      labels.append(String(decoding: message[(offset + 1)..<end], as: UTF8.self))
      offset = end
    }
    guard offset + 5 <= message.count,
      let type = RecordType(
        rawValue: UInt16(message[offset + 1]) << 8 | UInt16(message[offset + 2]))
    else { return nil }
    name = labels.joined(separator: ".")
    self.type = type
    self.transport = transport
    self.server = server
    self.port = port
  }
}

struct Record: Sendable {
  /// Nil: the question's name, written as a pointer to it.
  var owner: String?
  var type: RecordType
  var ttl: UInt32
  var data: [UInt8]

  static func address(_ text: String, ttl: UInt32, owner: String? = nil) -> Record {
    var bytes = [UInt8](repeating: 0, count: 16)
    let isIPv6 = text.contains(":")
    inet_pton(isIPv6 ? AF_INET6 : AF_INET, text, &bytes)
    return Record(
      owner: owner, type: isIPv6 ? .aaaa : .a, ttl: ttl, data: isIPv6 ? bytes : Array(bytes[..<4]))
  }

  static func alias(of owner: String? = nil, to target: String, ttl: UInt32 = 60) -> Record {
    Record(owner: owner, type: .cname, ttl: ttl, data: wireName(target))
  }

  static func authority(ttl: UInt32) -> Record {
    let times: [UInt32] = [1, 7200, 900, 1_209_600, ttl]
    let data = wireName("ns.test") + wireName("admin.test") + times.flatMap { $0.bytes }
    return Record(owner: "test", type: .soa, ttl: ttl, data: data)
  }

  fileprivate var bytes: [UInt8] {
    (owner.map(wireName) ?? [0xc0, 12]) + type.rawValue.bytes + UInt16(1).bytes + ttl.bytes
      + UInt16(data.count).bytes + data
  }
}

/// A message that goes back. As it is made, it is an honest answer without records.
struct Reply: Sendable {
  var code: UInt16 = 0
  var isTruncated = false
  var answers: [Record] = []
  var authority: [Record] = []

  // For lies; nil: as it was asked.
  var id: UInt16?
  var name: String?
  var type: RecordType?
  var isQuestion = false
  /// In place of the number of answers that there are.
  var answerCount: Int?

  func bytes(to question: Question) -> [UInt8] {
    // QR, RD and RA: what a resolver that asks others says.
    let flags = UInt16(isQuestion ? 0x0180 : 0x8180) | UInt16(isTruncated ? 0x0200 : 0) | code
    let counts = [1, answerCount ?? answers.count, authority.count, 0].map { UInt16($0) }
    return (id ?? question.id).bytes + flags.bytes + counts.flatMap { $0.bytes }
      + wireName(name ?? question.name) + (type ?? question.type).rawValue.bytes + UInt16(1).bytes
      + (answers + authority).flatMap { $0.bytes }
  }
}

extension Question {
  /// Those of `texts` that are of the family asked for; NODATA if there are none.
  func addresses(_ texts: String..., ttl: UInt32 = 60) -> Reply { addresses(texts, ttl: ttl) }

  func addresses(_ texts: [String], ttl: UInt32 = 60) -> Reply {
    var reply = Reply()
    reply.answers = texts.map { Record.address($0, ttl: ttl) }.filter { $0.type == type }
    if reply.answers.isEmpty { reply.authority = [.authority(ttl: ttl)] }
    return reply
  }
}

extension Reply {
  static func noData(ttl: UInt32 = 60) -> Reply { Reply(authority: [.authority(ttl: ttl)]) }
  static func noName(ttl: UInt32 = 60) -> Reply {
    Reply(code: 3, authority: [.authority(ttl: ttl)])
  }

  static let formatError = Reply(code: 1)
  static let serverFailure = Reply(code: 2)
  static let notImplemented = Reply(code: 4)
  static let refused = Reply(code: 5)
  static let truncated = Reply(isTruncated: true)
}

func wireName(_ name: String) -> [UInt8] {
  name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + $0.utf8 } + [0]
}

extension FixedWidthInteger {
  /// In network byte order.
  var bytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}
