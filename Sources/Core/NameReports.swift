// What the log says of names and name servers: a function for each event, as in Reports.swift.

extension LogLine {
  /// debug: each message that came from a name server, `after` the lookup began.
  public mutating func nameServerAnswered(
    name: [UInt8], family: Family, server: Endpoint, reply: DNSReply, after: Nanoseconds,
    at time: WallTime
  ) {
    begin(.debug, at: time, "name server answered")
    add("name", bytes: name)
    add("type", family.recordName)
    add("server", server)
    switch reply {
    case .notOurs: add("answer", "ignored")
    case .truncated: add("answer", "truncated")
    case .addresses(let addresses, let ttl):
      add("answer", bytes: list(addresses))
      add("ttl", UInt64(ttl))
    case .noAddress(let ttl):
      add("answer", "NODATA")
      if let ttl { add("ttl", UInt64(ttl)) }
    case .noName(let ttl):
      add("answer", "NXDOMAIN")
      if let ttl { add("ttl", UInt64(ttl)) }
    case .fault(let fault):
      var word: [UInt8] = []
      word.append(fault)
      add("answer", bytes: word)
    }
    add("after_ms", milliseconds: after)
    end()
  }

  /// info. `from` is empty the first time; `unsaid` changes before this one were not logged.
  public mutating func addressesChanged(
    name: [UInt8], from: [IPAddress], to: [IPAddress], unsaid: UInt64, at time: WallTime
  ) {
    begin(.info, at: time, from.isEmpty ? "name resolved" : "addresses changed")
    add("name", bytes: name)
    add("addresses", bytes: list(to))
    if !from.isEmpty { add("before", bytes: list(from)) }
    if unsaid > 0 { add("unsaid", unsaid) }
    end()
  }

  /// warn, once for each outage.
  public mutating func staleAnswerUsed(
    name: [UInt8], age: Nanoseconds, words: [(server: Endpoint, word: ServerWord)],
    at time: WallTime
  ) {
    begin(.warn, at: time, "no name server answers: the last good addresses are used")
    add("name", bytes: name)
    add("servers", bytes: list(words))
    add("age_ms", milliseconds: age)
    end()
  }

  /// info
  public mutating func nameServersRecovered(name: [UInt8], at time: WallTime) {
    begin(.info, at: time, "name servers answer again")
    add("name", bytes: name)
    end()
  }

  /// warn. What each server said, in the order in which they were asked; `repeated` others like
  /// this one were folded before it.
  public mutating func lookupFailed(
    name: [UInt8], failure: Failure, words: [(server: Endpoint, word: ServerWord)],
    repeated: UInt64, at time: WallTime
  ) {
    begin(.warn, at: time, "name lookup failed")
    add("name", bytes: name)
    add("cause", failure.name)
    add("servers", bytes: list(words))
    if repeated > 0 { add("repeated", repeated) }
    end()
  }

  /// warn: how many lines and words of resolv.conf cannot be used.
  public mutating func resolvConfIgnored(path: [UInt8], ignored: Int, at time: WallTime) {
    begin(.warn, at: time, "resolv.conf has entries that cannot be used")
    add("file", bytes: path)
    add("ignored", UInt64(clamping: ignored))
    end()
  }

  /// warn
  public mutating func resolvConfMissing(path: [UInt8], at time: WallTime) {
    begin(.warn, at: time, "resolv.conf cannot be read: the name server on 127.0.0.1 is asked")
    add("file", bytes: path)
    end()
  }

  private func list(_ addresses: [IPAddress]) -> [UInt8] {
    var text: [UInt8] = []
    for address in addresses {
      if !text.isEmpty { text.append(",") }
      text.append(address)
    }
    return text
  }

  private func list(_ words: [(server: Endpoint, word: ServerWord)]) -> [UInt8] {
    var text: [UInt8] = []
    for (server, word) in words {
      if !text.isEmpty { text.append(", ") }
      text.append(server)
      text.append(" ")
      text.append(word)
    }
    return text
  }
}

extension ByteSink {
  mutating func append(_ word: ServerWord) {
    switch word {
    case .notAsked: append("not asked")
    case .noAnswer: append("no answer")
    case .noDescriptors: append("no descriptors here")
    case .unreachable: append("unreachable")
    case .brokenOff: append("broke off")
    case .fault(let fault): append(fault)
    case .noName: append("NXDOMAIN")
    case .noAddress: append("NODATA")
    case .answered: append("answered")
    }
  }

  /// The names that dig(1) prints, where there are such.
  mutating func append(_ fault: ServerFault) {
    switch fault {
    case .formatError: append("FORMERR")
    case .serverFailure: append("SERVFAIL")
    case .notImplemented: append("NOTIMP")
    case .refused: append("REFUSED")
    case .code(let code):
      append("RCODE")
      append(decimal: UInt64(code))
    case .notRecursive: append("not recursive")
    case .malformed: append("malformed")
    }
  }
}
