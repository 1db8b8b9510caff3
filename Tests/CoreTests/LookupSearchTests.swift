// The names that are tried in turn, and what is said of the servers at the end.
import Testing

@testable import Core

@Suite struct LookupSearchTests {
  private static let search = "search a.example b.example\noptions ndots:5\n"

  /// The names that are asked for when none exists.
  private func names(_ name: String, isAbsolute: Bool = false, _ lines: String = search) -> [String]
  {
    var script = LookupScript(servers: 1, lines, name: name, isAbsolute: isAbsolute)
    var names: [String] = []
    while script.steps() != ["done"] {
      names.append(text(script.lookup.name))
      for family in Family.allCases { script.answer(family, code: Code.noName) }
    }
    return names
  }

  @Test func aNameWithADotIsTriedAsItIsFirst() {
    #expect(names("db.prod") == ["db.prod", "db.prod.a.example", "db.prod.b.example"])
  }

  @Test func aSingleLabelIsSearchedFirst() {
    #expect(names("db") == ["db.a.example", "db.b.example", "db"])
  }

  @Test func aNameThatEndsInADotIsNotSearched() {
    #expect(names("db", isAbsolute: true) == ["db"])
  }

  @Test func withoutASearchListThereIsOneName() { #expect(names("db", "") == ["db"]) }

  @Test(arguments: [Code.noName, 0])
  func theSearchGoesOnWhereThereIsNothing(code: UInt16) {
    var script = LookupScript(servers: 1, Self.search, name: "db")
    _ = script.steps()
    for family in Family.allCases { script.answer(family, code: code) }
    #expect(script.steps() == ["AAAA 1", "A 1", "wait 250"])
    #expect(text(script.lookup.name) == "db.b.example")
    script.answer(.ipv4, 1)
    script.answer(.ipv6)
    #expect(script.steps() == ["done"])
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
  }

  /// Else a name server's bad moment would lead to another machine.
  @Test func theSearchStopsWhereNobodyKnows() {
    var script = LookupScript(servers: 1, Self.search, name: "db")
    _ = script.steps()
    for family in Family.allCases { script.answer(family, code: Code.refused) }
    #expect(script.steps() == ["done"])
    #expect(text(script.lookup.name) == "db.a.example")
    #expect(script[.ipv4] == .failed)
  }

  @Test func theSearchStopsWhereOneFamilyHasAnAddress() {
    var script = LookupScript(servers: 1, Self.search, name: "db")
    _ = script.steps()
    script.answer(.ipv4, 1)
    script.answer(.ipv6, code: Code.noName)
    #expect(script.steps() == ["done"])
  }

  @Test func anAnswerToANameThatWasTriedBeforeIsNoise() {
    var script = LookupScript(servers: 1, Self.search, name: "db")
    _ = script.steps()
    let late = script.writer(.ipv4, from: 1, [.a("db.a.example", 0x0606_0606)])
    for family in Family.allCases { script.answer(family, code: Code.noName) }
    #expect(script.receive(.ipv4, from: 1, late) == .notOurs)
    _ = script.steps()
    #expect(script.receive(.ipv4, from: 1, late) == .notOurs)
  }

  @Test func aNameThatExistedWithoutAnAddressIsRemembered() {
    var script = LookupScript(servers: 1, Self.search, name: "db")
    _ = script.steps()
    for family in Family.allCases { script.answer(family) }
    while script.steps() != ["done"] {
      for family in Family.allCases { script.answer(family, code: Code.noName) }
    }
    #expect(script.lookup.someNameExists)
  }

  // MARK: What the servers said

  @Test func eachServerHasAWord() {
    var script = LookupScript(servers: 3)
    _ = script.steps()
    for family in Family.allCases { script.answer(family, from: 1, code: Code.refused) }
    _ = script.steps()
    for family in Family.allCases { script.fail(family, from: 2, .unreachable) }
    _ = script.steps()
    #expect(
      script.words == ["1 fault(Core.ServerFault.refused)", "2 unreachable", "3 noAnswer"])
  }

  @Test func aServerThatWasNotAskedHasNone() {
    var script = LookupScript(servers: 2)
    _ = script.steps()
    #expect(script.words == ["1 noAnswer"])
  }

  @Test(arguments: [(Code.noName, "1 noName"), (0, "1 noAddress")])
  func theWordIsTheOneThatKeptTheLookupFromItsEnd(code: UInt16, both: String) {
    for (settled, open) in [(Family.ipv4, Family.ipv6), (.ipv6, .ipv4)] {
      var script = LookupScript()
      _ = script.steps()
      script.answer(settled, code: code)
      #expect(script.words == ["1 noAnswer"])
      script.answer(open, code: code)
      #expect(script.words == [both])
    }
  }
}
