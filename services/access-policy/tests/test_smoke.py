async def test_smoke(stand):
    camera = stand.camera()
    await stand.says(camera)
    grants = await stand.granted(camera)
    print(grants)
    t = await stand.ticket(grants[0]["id"])
    print(t.status_code, t.json())
    print(await stand.decisions())
    print([a.event for a in await stand.audit_records()])
