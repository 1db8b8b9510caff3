// resolv.conf(5): which name servers to ask, and how. The file may hold anything: what cannot be
// used is left out and counted, never guessed at.

public struct ResolvConf: Equatable, Sendable {
  /// MAXNS of resolv.conf(5).
  public static let maxServers = 3
  /// Where glibc stopped for long, and what nobody needs more of.
  static let maxSearch = 6

  /// In the order of the file; what resolv.conf(5) says holds without one, when it names none.
  public private(set) var servers: [Endpoint] = []
  /// Domains in lower case without dots around them.
  public private(set) var search: [[UInt8]] = []
  public private(set) var ndots = 1
  /// The most that one try waits for one server.
  public private(set) var timeout = Nanoseconds.seconds(5)
  public private(set) var attempts = 2
  public private(set) var rotates = false
  /// A and AAAA one after the other: some servers lose one of two questions that come together.
  public private(set) var isSingleRequest = false
  public private(set) var usesTCP = false
  public private(set) var asksForIPv6 = true
  /// Lines and words that could not be used.
  public private(set) var ignored = 0

  /// `port` is where the servers are asked: 53, outside tests.
  public init(_ bytes: [UInt8], port: UInt16) {
    var rest = bytes[...]
    while let line = nextPart(&rest, before: UInt8(ascii: "\n")) { read(line, port) }
    if servers.isEmpty {
      servers = [Endpoint(address: IPAddress(ipv4: 0x7f00_0001), port: port)]
    }
  }

  private mutating func read(_ line: ArraySlice<UInt8>, _ port: UInt16) {
    var fields = line
    guard let keyword = nextField(&fields), !keyword.startsComment else { return }
    if keyword.equals("nameserver") {
      readServer(nextField(&fields), port)
    } else if keyword.equals("search") || keyword.equals("domain") {
      // The last of these lines holds.
      search = []
      while let field = nextField(&fields), !field.startsComment { readDomain(field) }
    } else if keyword.equals("options") {
      while let field = nextField(&fields), !field.startsComment { readOption(field) }
    } else if !keyword.equals("sortlist") {
      ignored += 1
    }
  }

  private mutating func readServer(_ field: ArraySlice<UInt8>?, _ port: UInt16) {
    guard let address = field.flatMap(IPAddress.init), !address.isMulticast else {
      ignored += 1
      return
    }
    let server = Endpoint(address: address, port: port)
    if servers.count < Self.maxServers && !servers.contains(server) { servers.append(server) }
  }

  private mutating func readDomain(_ field: ArraySlice<UInt8>) {
    // The root says: no search.
    guard !field.equals(".") else { return }
    guard search.count < Self.maxSearch, let domain = try? parseName(field) else {
      ignored += 1
      return
    }
    search.append(domain)
  }

  private mutating func readOption(_ field: ArraySlice<UInt8>) {
    if field.equals("rotate") {
      rotates = true
    } else if field.equals("single-request") || field.equals("single-request-reopen") {
      isSingleRequest = true
    } else if field.equals("use-vc") {
      usesTCP = true
    } else if field.equals("no-aaaa") {
      asksForIPv6 = false
    } else if let number = number(after: "ndots:", in: field) {
      ndots = min(number, 15)
    } else if let number = number(after: "timeout:", in: field) {
      timeout = .seconds(Int64(max(1, min(number, 30))))
    } else if let number = number(after: "attempts:", in: field) {
      attempts = max(1, min(number, 5))
    }
    // The others ask for what is always done (edns0) or never (debug, trust-ad).
  }

  @inline(never) private func number(after key: StaticString, in field: ArraySlice<UInt8>) -> Int? {
    let length = key.utf8CodeUnitCount
    guard field.prefix(length).equals(key) else { return nil }
    return parseDecimal(field.dropFirst(length)).map { Int(clamping: $0) }
  }

  /// The names to ask for in turn, until one exists, where `host` is configured. One with a dot is
  /// tried as it is first, whatever ndots says; one that ends in a dot, as it is alone.
  public func candidates(for name: [UInt8], isAbsolute: Bool) -> [[UInt8]] {
    guard !isAbsolute else { return [name] }
    let dot = UInt8(ascii: ".")
    let isTriedFirst = name.contains(dot) || ndots == 0
    var candidates = isTriedFirst ? [name] : []
    for domain in search where name.count + 1 + domain.count <= 253 {
      candidates.append(name + [dot] + domain)
    }
    if !isTriedFirst { candidates.append(name) }
    return candidates
  }
}

extension ArraySlice<UInt8> {
  fileprivate var startsComment: Bool {
    first == UInt8(ascii: "#") || first == UInt8(ascii: ";")
  }
}
