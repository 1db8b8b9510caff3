// Which server is asked for what when, and what a lookup finds: exchanges line by line.
import Testing

@testable import Core

@Suite struct LookupTests {
  @Test func bothFamiliesAreAskedAtOnce() {
    var script = LookupScript()
    #expect(script.steps() == ["AAAA 1", "A 1", "wait 500"])
    script.pass(10)
    #expect(script.answer(.ipv4, 1) == .addresses([address(.ipv4, 1)], ttl: 60))
    #expect(script.steps() == ["wait 500"])
    script.pass(10)
    script.answer(.ipv6, 1, 2)
    #expect(script.steps() == ["done"])
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
    #expect(script[.ipv6] == .addresses([address(.ipv6, 1), address(.ipv6, 2)], ttl: 60))
    #expect((script.lookup.foundAt(.ipv6) - script.lookup.foundAt(.ipv4)) == .milliseconds(10))
  }

  @Test func eachQuestionHasAnIDOfItsOwn() {
    var script = LookupScript()
    _ = script.steps()
    #expect(script.id(.ipv4, 1) != script.id(.ipv6, 1))
  }

  @Test func aNameMayHaveOneFamilyOnly() {
    var script = LookupScript()
    _ = script.steps()
    script.answer(.ipv6)
    script.answer(.ipv4, 1)
    #expect(script.steps() == ["done"])
    #expect(script[.ipv6] == .noAddress(ttl: nil))
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
  }

  /// Some load balancers deny the name when they are asked for AAAA (RFC 4074, section 4.2).
  @Test func thatOneFamilyDeniesTheNameSaysNothingOfTheOther() {
    var script = LookupScript(servers: 1, "search example\n")
    _ = script.steps()
    script.answer(.ipv6, code: Code.noName)
    #expect(script.steps() == ["wait 500"])
    script.answer(.ipv4, 1)
    #expect(script.steps() == ["done"])
    #expect(script[.ipv6] == .noName(ttl: nil))
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
  }

  @Test func oneFamilyMayFailAlone() {
    var script = LookupScript(servers: 2)
    _ = script.steps()
    script.answer(.ipv4, 1)
    script.answer(.ipv6, code: Code.refused)
    #expect(script.steps() == ["AAAA 2", "wait 500"])
    script.answer(.ipv6, from: 2, code: Code.refused)
    #expect(script.steps() == ["done"])
    #expect(script[.ipv6] == .failed)
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
  }

  @Test func anAliasIsFollowedWithinTheAnswer() {
    var script = LookupScript()
    _ = script.steps()
    let answer = script.writer(
      .ipv4, from: 1,
      [.cname("db.example", "writer.example", ttl: 5), .a("writer.example", 0x0a00_0009, ttl: 60)])
    script.receive(.ipv4, from: 1, answer)
    #expect(script[.ipv4] == .addresses([ipv4(0x0a00_0009)], ttl: 5))
  }

  // MARK: Silence

  @Test func aSilentServerIsAskedAgainOverLongerAndLongerTimes() {
    var script = LookupScript()
    #expect(
      script.stepsUntilDone() == [
        "AAAA 1 @0", "A 1 @0", "AAAA 1 again plain @500", "A 1 again plain @500",
        "AAAA 1 again plain @1500", "A 1 again plain @1500",
        "AAAA 1 again plain @3500", "A 1 again plain @3500",
        "AAAA 1 again plain @7500", "A 1 again plain @7500", "done @10000",
      ])
    #expect(script[.ipv4] == .failed)
    #expect(script[.ipv6] == .failed)
    #expect(script.words == ["1 noAnswer"])
  }

  @Test func theNextServerIsAskedWhenOneIsSilent() {
    var script = LookupScript(servers: 2, "options no-aaaa\n")
    #expect(
      script.stepsUntilDone() == [
        "A 1 @0", "A 2 @500", "A 1 again plain @1000", "A 2 again plain @2000",
        "A 1 again plain @3000", "A 2 again plain @5000", "A 1 again plain @7000", "done @10000",
      ])
  }

  @Test func aQuickServerIsWaitedForLessLong() {
    var known = NameServers(resolvConf(1))
    known.recordAnswer(of: 0, after: .milliseconds(2))
    var script = LookupScript(known)
    #expect(script.steps() == ["AAAA 1", "A 1", "wait 250"])
  }

  @Test func anAnswerThatComesLateStillCounts() {
    var script = LookupScript(servers: 2, "options no-aaaa\n")
    _ = script.steps()
    script.pass(500)
    #expect(script.steps() == ["A 2", "wait 1000"])
    script.pass(100)
    script.answer(.ipv4, from: 1, 1)
    #expect(script.steps() == ["done"])
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
    #expect(script.words == ["1 answered", "2 noAnswer"])
  }

  @Test func aServerThatWasSilentIsAskedLastTheNextTime() {
    var script = LookupScript(servers: 2, "options no-aaaa\n")
    _ = script.steps()
    script.pass(500)
    _ = script.steps()
    script.answer(.ipv4, from: 2, 1)
    _ = script.steps()
    var next = LookupScript(script.servers)
    #expect(next.steps().first == "A 2")
  }

  @Test(arguments: [(1, 5, 2, 7500), (1, 1, 1, 1000), (2, 1, 2, 4000), (3, 5, 5, 7500)])
  func theLookupEndsWithinItsLimit(servers: Int, timeout: Int, attempts: Int, end: Int) {
    var script = LookupScript(
      servers: servers, "options timeout:\(timeout) attempts:\(attempts)\n",
      limit: .milliseconds(7500))
    #expect(script.stepsUntilDone().last == "done @\(end)")
  }

  @Test func allNamesOfASearchShareTheLimit() {
    var script = LookupScript(servers: 1, "search a.example b.example\n", name: "db")
    _ = script.steps()
    script.pass(6000)
    _ = script.steps()
    script.answer(.ipv4, code: Code.noName)
    script.answer(.ipv6, code: Code.noName)
    #expect(script.stepsUntilDone().last == "done @10000")
  }

  // MARK: Servers that cannot say

  @Test(arguments: [Code.serverFailure, Code.refused, Code.notImplemented])
  func theNextServerIsAskedAtOnceWhenOneCannotSay(code: UInt16) {
    var script = LookupScript(servers: 2, "options no-aaaa\n")
    _ = script.steps()
    script.pass(3)
    script.answer(.ipv4, code: code)
    // One that does not implement it may mean the OPT record.
    let first = code == Code.notImplemented ? ["A 1 plain"] : ["A 2"]
    #expect(script.steps() == first + ["wait 503"])
  }

  @Test func whoRefusesIsNotAskedAgain() {
    var script = LookupScript(servers: 2, "options no-aaaa\n")
    _ = script.steps()
    script.answer(.ipv4, from: 1, code: Code.refused)
    #expect(
      script.stepsUntilDone() == [
        "A 2 @0", "A 2 again plain @500", "A 2 again plain @1500", "A 2 again plain @3500",
        "A 2 again plain @7500", "done @10000",
      ])
    #expect(script.words == ["1 fault(Core.ServerFault.refused)", "2 noAnswer"])
  }

  @Test func whenAllRefuseTheLookupIsOver() {
    var script = LookupScript(servers: 2, "options no-aaaa\n")
    _ = script.steps()
    script.answer(.ipv4, from: 1, code: Code.refused)
    _ = script.steps()
    script.answer(.ipv4, from: 2, code: Code.refused)
    #expect(script.steps() == ["done"])
    #expect(script[.ipv4] == .failed)
  }

  @Test func whoCouldNotFindOutIsAskedAgainNoSoonerThanWhoWasSilent() {
    var script = LookupScript(servers: 2, "options no-aaaa\n")
    _ = script.steps()
    script.pass(1)
    script.answer(.ipv4, from: 1, code: Code.serverFailure)
    #expect(script.steps() == ["A 2", "wait 501"])
    script.pass(1)
    script.answer(.ipv4, from: 2, code: Code.serverFailure)
    #expect(script.steps() == ["wait 500"])
    script.pass(498)
    #expect(script.steps() == ["A 1 again plain", "wait 1500"])
    script.answer(.ipv4, from: 1, code: Code.serverFailure)
    #expect(script.steps() == ["A 2 again plain", "wait 1500"])
    script.answer(.ipv4, from: 2, 1)
    #expect(script.steps() == ["done"])
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
  }

  @Test func whoIsNotThereIsNotWaitedFor() {
    var script = LookupScript(servers: 2, "options no-aaaa\n")
    _ = script.steps()
    script.fail(.ipv4, from: 1, .unreachable)
    #expect(script.steps() == ["A 2", "wait 500"])
    script.fail(.ipv4, from: 2, .unreachable)
    #expect(script.steps() == ["wait 500"])
    #expect(script.words == ["1 unreachable", "2 unreachable"])
  }
}
