// What speaks behind a port, told from its first bytes. Owns what to say to it and what its answers
// mean; each question goes over a connection of its own.

/// What to say first, in the order in which to try: politest first.
public enum GreetingQuestion: CaseIterable, Sendable {
  /// Nothing: MySQL, SMTP, SSH and others greet first.
  case nothing
  /// PostgreSQL's SSLRequest (protocol manual, section "Message Formats").
  case postgreSQL
  case redis
  /// A ClientHello (RFC 8446, section 4.1.2).
  case tls
  case http

  public var bytes: [UInt8] {
    switch self {
    case .nothing: []
    case .postgreSQL: [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]
    case .redis: [UInt8]("PING\r\n")
    case .tls: Self.clientHello
    case .http: [UInt8]("HEAD / HTTP/1.0\r\n\r\n")
    }
  }

  /// What the answer says of who speaks; nil when it says nothing.
  public func speaker(_ answer: [UInt8]) -> [UInt8]? {
    guard let first = answer.first else { return nil }
    // A server that repeats what it is told speaks none of these.
    if !bytes.isEmpty && bytes.starts(with: answer) { return [UInt8]("an echo server") }
    switch self {
    case .nothing: return greeting(answer)
    case .postgreSQL:
      if first == UInt8(ascii: "S") && answer.count == 1 { return [UInt8]("PostgreSQL, with TLS") }
      if first == UInt8(ascii: "N") && answer.count == 1 {
        return [UInt8]("PostgreSQL, without TLS")
      }
    case .redis:
      if answer.starts(with: [UInt8]("+PONG")) { return [UInt8]("Redis") }
      if answer.starts(with: [UInt8]("-NOAUTH")) || answer.starts(with: [UInt8]("-DENIED")) {
        return [UInt8]("Redis, which asks for a password")
      }
    case .tls:
      // A handshake record, or an alert: both of TLS 1.0 or later by their version.
      let isRecord = answer.count >= 3 && (first == 0x16 || first == 0x15) && answer[1] == 3
      if isRecord { return [UInt8]("TLS") }
    case .http:
      if answer.starts(with: [UInt8]("HTTP/")) { return [UInt8]("HTTP") }
    }
    return nil
  }

  private func greeting(_ answer: [UInt8]) -> [UInt8]? {
    if answer.starts(with: [UInt8]("HTTP/")) { return [UInt8]("HTTP") }
    // MySQL's packet: three bytes of length, a sequence number, then protocol 10 and a version that
    // ends with a zero; or an error, 0xff, in place of them.
    if answer.count > 5 && answer[3] == 0 && answer[2] == 0 {
      if answer[4] == 10 {
        var text = [UInt8]("MySQL ")
        text += answer[5...].prefix { 0x20...0x7e ~= $0 }.prefix(60)
        return text
      }
      if answer[4] == 0xff { return [UInt8]("MySQL, which refuses this host") }
    }
    guard 0x20...0x7e ~= answer[0] else { return nil }
    var text = [UInt8]("a server that greets with ")
    text.append(quoted: answer.prefix { $0 != 13 && $0 != 10 }.prefix(60))
    return text
  }

  /// TLS 1.2 with two suites that every server knows one of; no extensions.
  private static let clientHello: [UInt8] =
    [0x16, 3, 1, 0, 49, 1, 0, 0, 45, 3, 3] + [UInt8](repeating: 0x5a, count: 32)
    + [0, 0, 6, 0xc0, 0x2f, 0, 0x9c, 0, 0x2f, 1, 0]
}

extension Target {
  /// Reads `db.example:5432` or `[2001:db8::1]:5432`; nil for anything else.
  public init?(hostAndPort text: ArraySlice<UInt8>) {
    let (host, port) = splitPort(text)
    guard let number = port.flatMap({ parseDecimal($0) }), portRange ~= number,
      let kind = try? parseHost(host)
    else { return nil }
    self.init(host: [UInt8](withoutBrackets(host)), kind: kind, port: UInt16(number))
  }
}
