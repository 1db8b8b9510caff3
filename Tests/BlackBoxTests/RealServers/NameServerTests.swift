// Names asked of real name servers: what they answer in each case is theirs, and not what the
// author of a resolver thinks of.
import Foundation
import Testing

@Suite(.serialized, .timeLimit(.minutes(6)))
struct NameServerTests {
  @Test(arguments: NameServerProgram.allCases)
  func aNameIsResolvedAndReached(program: NameServerProgram) throws {
    let target = try Target()
    let server = try NameServer(program, Zone(addresses: ["db": ["127.0.0.1"]]))
    try withSidecar(server.settings(target: "db.names.test", port: target.port)) { sidecar in
      try talkAndEnd(sidecar, target)
      let ended = try sidecar.waitForLine("connection ended")
      #expect(ended["target"] == "db.names.test:\(target.port)")
      #expect(ended["address"] == "127.0.0.1:\(target.port)")
      let resolved = try sidecar.waitForLine("name resolved")
      #expect(resolved["addresses"] == "127.0.0.1")
      let ipv4 = try sidecar.waitForAnswer("A")
      #expect(ipv4["answer"] == "127.0.0.1" && ipv4["ttl"] == "5")
      #expect(try sidecar.waitForAnswer("AAAA")["answer"] == "NODATA")
    }
  }

  /// The domain of resolv.conf makes a name of one label whole.
  @Test(arguments: NameServerProgram.allCases)
  func anAliasOfAnAliasIsFollowed(program: NameServerProgram) throws {
    let target = try Target()
    let zone = Zone(
      ttl: 7, addresses: ["db": ["127.0.0.1"]], aliases: ["writer": "main", "main": "db"])
    let server = try NameServer(program, zone)
    try withSidecar(server.settings(target: "writer", port: target.port)) { sidecar in
      try talkAndEnd(sidecar, target)
      let answer = try sidecar.waitForAnswer("A")
      #expect(answer["name"] == "writer.names.test")
      #expect(answer["answer"] == "127.0.0.1" && answer["ttl"] == "7")
    }
  }

  @Test(.enabled(if: Loopback.hasIPv6), arguments: NameServerProgram.allCases)
  func ofTwoFamiliesTheOneThatAnswersIsUsed(program: NameServerProgram) throws {
    let addresses = ["both": ["127.0.0.1", "::1"]]
    let server = try NameServer(program, Zone(addresses: addresses))
    let target = try Target(on: .ipv6)
    let settings = server.settings(target: "both.names.test", port: target.port)
    try withSidecar(settings) { sidecar in
      try talkAndEnd(sidecar, target)
      let ended = try sidecar.waitForLine("connection ended")
      #expect(ended["address"] == "[::1]:\(target.port)")
    }
    let ipv4Target = try Target()
    let ipv4Settings = server.settings(target: "both.names.test", port: ipv4Target.port)
    try withSidecar(ipv4Settings) { sidecar in
      try talkAndEnd(sidecar, ipv4Target)
      let ended = try sidecar.waitForLine("connection ended")
      #expect(ended["address"] == "127.0.0.1:\(ipv4Target.port)")
      // Refused at once over IPv6, it did not have to wait for anything.
      #expect(ended.number("connect_ms")! < 200)
    }
  }

  @Test func aServerThatRefusesOneFamilyIsBelievedInTheOther() throws {
    let target = try Target()
    let server = try NameServer(.unbound, Zone())
    try withSidecar(server.settings(target: Zone.refusedName, port: target.port)) { sidecar in
      try talkAndEnd(sidecar, target)
      #expect(try sidecar.waitForAnswer("A")["answer"] == "127.0.0.1")
      #expect(try sidecar.waitForAnswer("AAAA")["answer"] == "REFUSED")
    }
  }

  /// 1,000 bytes come as a datagram because an OPT record allows it; 3,200 come by TCP, after the
  /// server has said that they do not fit.
  @Test(arguments: NameServerProgram.allCases, [(60, false), (200, true)])
  func manyAddressesArrive(program: NameServerProgram, _ size: (count: Int, tooLong: Bool)) throws {
    let target = try Target(on: Loopback.everywhere)
    let addresses = (1...size.count).map { "127.0.1.\($0)" }
    let server = try NameServer(program, Zone(addresses: ["many": addresses]))
    try withSidecar(server.settings(target: "many.names.test", port: target.port)) { sidecar in
      try talkAndEnd(sidecar, target)
      try sidecar.waitForLine("name resolved")
      let words = sidecar.answers.filter { $0["type"] == "A" }.map { $0["answer"] ?? "" }
      #expect(words.contains("truncated") == size.tooLong)
      let kept = words.last?.split(separator: ",").map { String($0) } ?? []
      #expect(kept.count == 32 && Set(kept).isSubset(of: addresses), "\(words)")
      let reached = try sidecar.waitForLine("connection ended")["address"] ?? ""
      #expect(kept.contains { "\($0):\(target.port)" == reached })
    }
  }

  @Test(arguments: NameServerProgram.allCases)
  func aNameThatDoesNotExistIsFoundOnceItDoes(program: NameServerProgram) throws {
    let target = try Target()
    let server = try NameServer(program, Zone(addresses: ["other": ["127.0.0.1"]]))
    try withSidecar(server.settings(target: "db.names.test", port: target.port)) { sidecar in
      try sidecar.connect().expect(.reset)
      #expect(try sidecar.waitForLine("connection failed: ")["cause"] == "name_not_found")
      let failed = try sidecar.waitForLine("name lookup failed")
      #expect(failed["servers"]?.hasSuffix(" NXDOMAIN") == true)
      try server.change { $0.addresses["db"] = ["127.0.0.1"] }
      // The zone's SOA lets it hold for a second, and where there is none, so does the daemon.
      try eventually("the name is found", within: .seconds(5)) {
        (try? talkAndEnd(sidecar, target)) != nil
      }
    }
  }

  @Test(arguments: NameServerProgram.allCases)
  func whileTheServerIsDeadTheLastAnswerStandsIn(program: NameServerProgram) throws {
    let target = try Target()
    let server = try NameServer(program, Zone(ttl: 1, addresses: ["db": ["127.0.0.1"]]))
    try withSidecar(server.settings(target: "db.names.test", port: target.port)) { sidecar in
      try talkAndEnd(sidecar, target)
      try server.kill()
      try eventually("the daemon notices") {
        try talkAndEnd(sidecar, target)
        return sidecar.count(of: "no name server answers") > 0
      }
      let line = try sidecar.waitForLine("no name server answers")
      #expect(line.level == "warn" && line["name"] == "db.names.test")
      #expect(line["servers"]?.hasSuffix(" unreachable") == true)
      for _ in 0..<20 { try talkAndEnd(sidecar, target) }
      try server.start()
      try eventually("the daemon asks it again") {
        try talkAndEnd(sidecar, target)
        return sidecar.count(of: "name servers answer again") > 0
      }
      #expect(sidecar.count(of: "no name server answers") == 1)
      #expect(sidecar.count(of: "connection failed") == 0)
    }
  }

  /// A client every 20 ms keeps the name in use.
  @Test(arguments: NameServerProgram.allCases)
  func aChangeIsFollowedWithinItsTimeToLive(program: NameServerProgram) throws {
    let old = try Target()
    let new = try Target(on: .otherIPv4, port: old.port)
    let server = try NameServer(program, Zone(ttl: 2, addresses: ["db": ["127.0.0.1"]]))
    try withSidecar(server.settings(target: "db.names.test", port: old.port)) { sidecar in
      try talkAndEnd(sidecar, old)
      let change = try server.change { $0.addresses["db"] = ["127.0.0.2"] }
      var count = 0
      try eventually("the new address is used") {
        let client = try sidecar.connect()
        try client.send("?")
        try eventually("somebody is called") { old.isBeingCalled || new.isBeingCalled }
        let isNew = new.isBeingCalled
        try client.expect("!", from: isNew ? new : old, after: "?")
        count += 1
        pause(.milliseconds(20))
        return isNew
      }
      let delay = change.age
      figure(
        "\(program): a change with a TTL of 2 s is followed after", delay.inMilliseconds, "ms",
        goal: "<= 3000")
      #expect(delay <= .seconds(3))
      #expect(count > 1, "the old answer was kept for no time at all")
      let line = try sidecar.waitForLine("addresses changed")
      #expect(line.level == "info")
      #expect(line["addresses"] == "127.0.0.2" && line["before"] == "127.0.0.1")
      // Nobody's connection had to wait for a lookup but the first.
      let asked = sidecar.answers.filter { $0["type"] == "A" }.count
      #expect(asked <= 4, "\(asked) lookups")
    }
  }

  private func talkAndEnd(_ sidecar: Sidecar, _ target: Target) throws {
    let client = try sidecar.connect()
    try client.send("?")
    try client.expect("!", from: target, after: "?")
  }
}

extension Sidecar {
  /// Every message of a name server.
  var answers: [LogLine] { log.filter { $0.message == "name server answered" } }

  /// The first answer to a question of this type.
  fileprivate func waitForAnswer(_ type: String) throws -> LogLine {
    try waitForLine("name server answered") { $0["type"] == type }
  }
}

extension Peer {
  /// Has `target` accept this connection, read `question` and answer; then both ends close.
  fileprivate func expect(_ answer: String, from target: Target, after question: String) throws {
    try eventually("the target is called") {
      if isReset { throw Failure("the client was reset") }
      return target.isBeingCalled
    }
    let upstream = try target.accept()
    try upstream.expect(question)
    try upstream.send(answer)
    upstream.close()
    try expect(answer)
    try expect(.closed)
    close()
  }

  /// Whether the connection is over already.
  private var isReset: Bool {
    var hint = pollfd(fd: socket.descriptor, events: 0, revents: 0)
    return poll(&hint, 1, 0) == 1 && hint.revents & Int16(POLLERR | POLLHUP) != 0
  }
}
