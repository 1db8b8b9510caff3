// The file that lists the name servers: what it says is done, and no state that it may be in keeps
// the daemon from starting or from finding servers later.
import Foundation
import Testing

@Suite(.aside)
struct ResolvConfTests {
  // MARK: Search

  /// What is asked for `name`, A questions in their order, when nothing exists but `existing`.
  private func asked(
    for name: String, existing: String, _ options: String
  ) throws -> [String] {
    let target = try Target()
    let names = try ScriptedNameServer { question in
      .reply(question.name == existing ? question.addresses("127.0.0.1") : .noName())
    }
    var asked: [String] = []
    try withSidecar(
      to: target, asking: names, options: options, ["TARGET_HOST": name]
    ) { sidecar in
      try sidecar.visit(target)
      asked = names.questions.filter { $0.type == .a }.map { $0.name }
      #expect(try sidecar.waitForLine("name resolved")["name"] == name)
    }
    return asked
  }

  @Test func aShortNameIsSearchedFor() throws {
    let asked = try asked(for: "db", existing: "db.two.test", "search one.test two.test")
    #expect(asked == ["db.one.test", "db.two.test"])
  }

  @Test func aShortNameIsAskedAsItIsAtLast() throws {
    let asked = try asked(for: "db", existing: "db", "search one.test")
    #expect(asked == ["db.one.test", "db"])
  }

  /// In Kubernetes ndots is 5, and every name of a database would be asked for four times in vain.
  @Test func aNameWithADotIsAskedAsItIsFirst() throws {
    let asked = try asked(
      for: "db.zone", existing: "db.zone.one.test", "search one.test\noptions ndots:5")
    #expect(asked == ["db.zone", "db.zone.one.test"])
    let first = try self.asked(
      for: "db.zone", existing: "db.zone", "search one.test\noptions ndots:5")
    #expect(first == ["db.zone"])
  }

  @Test func withNdotsOfZeroAShortNameIsAskedAsItIsFirst() throws {
    let asked = try asked(for: "db", existing: "db.one.test", "search one.test\noptions ndots:0")
    #expect(asked == ["db", "db.one.test"])
  }

  @Test func theLastSearchLineHolds() throws {
    let asked = try asked(for: "db", existing: "db.two.test", "search one.test\ndomain two.test")
    #expect(asked == ["db.two.test"])
  }

  // MARK: Servers

  @Test func rotateAsksThemInTurn() throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: [.ipv4, .otherIPv4, .thirdIPv4]) {
      .reply($0.addresses("127.0.0.1", ttl: 1))
    }
    try withSidecar(to: target, asking: names, options: "options rotate") { sidecar in
      try eventually("every server is asked") {
        try sidecar.visit(target)
        return Set(names.questions.map { $0.server }).count == 3
      }
    }
  }

  @Test func beyondTheThirdServerNoneIsAsked() throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: [.ipv6, .ipv4, .otherIPv4, .thirdIPv4]) { question in
      question.server == .thirdIPv4 ? .reply(question.addresses("127.0.0.1")) : .reply(.refused)
    }
    try withSidecar(to: target, asking: names) { sidecar in
      try sidecar.connect().expect(.reset)
      #expect(Set(names.questions.map { $0.server }) == [.ipv6, .ipv4, .otherIPv4])
    }
  }

  // MARK: Files in a state

  /// Whatever the file is, the server at 127.0.0.1 is asked, which resolv.conf(5) gives for a file
  /// that names none.
  @Test(arguments: [
    "", "\n\n\n", "# nothing\n; at all", "nameserver", "nameserver \n", "nameserver 300.1.2.3",
    "nameserver 127.0.0.1 # with a remark", "  nameserver\t127.0.0.1\r\n", "nameserver ::\u{0}1",
    "nameserver 224.0.0.1", "search", "options ndots:99999999999999999999 timeout:-1 attempts:",
    "options timeout:0 attempts:0", "nameserver fe80::1%eth0", "nameserver 127.0.0.1.",
    "\u{feff}nameserver 127.0.0.1",
  ])
  func anAbsurdFileDoesNoHarm(text: String) throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1")) }
    try withSidecar(to: target, asking: names, ResolvConfFile(text)) { try $0.visit(target) }
  }

  @Test func aFileOfNoiseDoesNoHarm() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1")) }
    let noise = String(
      repeating: "search " + String(repeating: "x", count: 4096) + "\n", count: 500)
    try withSidecar(to: target, asking: names, ResolvConfFile(noise)) { sidecar in
      try sidecar.visit(target)
      let line = try sidecar.waitForLine("resolv.conf has entries that cannot be used")
      #expect(line.level == "warn")
    }
  }

  @Test func entriesThatCannotBeUsedAreSaid() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1")) }
    let conf = try ResolvConfFile("nameserver dns.example\nnonsense\n" + names.conf)
    try withSidecar(to: target, asking: names, conf) { sidecar in
      try sidecar.visit(target)
      let line = try sidecar.waitForLine("resolv.conf has entries that cannot be used")
      #expect(line["file"] == conf.path)
      #expect(line["ignored"] == "2")
    }
  }

  @Test(arguments: ["missing", "a directory", "unreadable", "a loop"])
  func aFileThatCannotBeReadIsSaidAndNoReasonNotToStart(state: String) throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1")) }
    let conf = try ResolvConfFile(nil)
    var wrapper: [String] = []
    switch state {
    case "a directory": try checked("mkdir", mkdir(conf.path, 0o755))
    case "a loop": try checked("symlink", symlink(conf.path, conf.path))
    case "unreadable":
      try conf.write(names.conf)
      chmod(conf.path, 0o000)
      wrapper = unprivileged
    case _: break
    }
    let settings = [
      "TARGET_HOST": targetName, "SIDECAR_RESOLV_CONF": conf.path,
      "SIDECAR_DNS_PORT": String(names.port),
    ]
    try withSidecar(to: target, settings, wrapper: wrapper) { sidecar in
      try sidecar.visit(target)
      let line = try sidecar.waitForLine("resolv.conf cannot be read")
      #expect(line.level == "warn")
      #expect(line["file"] == conf.path)
    }
  }

  // MARK: Changes

  /// A container's file may be written after its programs have started.
  @Test func aFileThatAppearsLateIsFound() throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: [.otherIPv4]) { .reply($0.addresses("127.0.0.1")) }
    let conf = try ResolvConfFile(nil)
    try withSidecar(to: target, asking: names, conf) { sidecar in
      try sidecar.connect().expect(.reset)
      try conf.write(names.conf)
      // It is looked at again, because no server answered, as soon as the failure is forgotten.
      let took = try timing { try sidecar.waitUntilServed(by: target) }
      #expect(took < .seconds(4))
    }
  }

  @Test(arguments: [false, true])
  func aChangeIsNoticedWithinFiveSeconds(atOnce: Bool) throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: [.ipv4, .otherIPv4]) {
      .reply($0.addresses("127.0.0.1", ttl: 1))
    }
    let conf = try ResolvConfFile("nameserver 127.0.0.1\n")
    try withSidecar(to: target, asking: names, conf) { sidecar in
      try sidecar.visit(target)
      let new = "nameserver 127.0.0.2\n"
      try atOnce ? conf.replaceAtOnce(with: new) : conf.write(new)
      let took = try timing {
        try eventually("the new server is asked") {
          try sidecar.visit(target)
          pause(.milliseconds(200))
          return names.questions.contains { $0.server == .otherIPv4 }
        }
      }
      // The time to live on top of it.
      #expect(took < .seconds(8))
      names.forget()
      pause(.milliseconds(1200))
      try sidecar.visit(target)
      #expect(names.questions.allSatisfy { $0.server == .otherIPv4 })
      #expect(sidecar.count(of: "connection failed") == 0)
    }
  }

  /// It goes away while servers are asked, and its lookups with it.
  @Test func aFileThatGoesAwayEndsNoConnection() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", ttl: 1)) }
    let conf = try ResolvConfFile(names.conf)
    try withSidecar(to: target, asking: names, conf) { sidecar in
      let (client, upstream) = try sidecar.connectAndTalk(to: target)
      try conf.remove()
      let deadline = Deadline(after: .seconds(6))
      while !deadline.hasPassed {
        try sidecar.visit(target)
        pause(.milliseconds(100))
      }
      try pingPong(client, upstream)
      try sidecar.waitForLine("resolv.conf cannot be read")
    }
  }
}
