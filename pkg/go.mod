module github.com/imtier/imtier/pkg

go 1.26.0
